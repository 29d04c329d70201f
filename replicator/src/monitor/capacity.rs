//! How full the pools are: the texts and levels of `sanoid --monitor-capacity`. The limits of a pool are those of its
//! root dataset where that has a policy; else the lowest of the datasets in it (in sanoid, those of any of them).

use std::collections::BTreeMap;

use serde_json::json;

use super::Level;
use super::Report;
use super::Subject;
use super::health::Pool;
use super::health::joined;
use super::health::missing;
use crate::config::dataset::Monitor;

/// Percent in use; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// From here on there is a warning.
    pub warn: u8,
    /// From here on there is an alarm.
    pub critical: u8,
}

/// The limits of each pool that has any, out of the policies of its datasets.
#[must_use]
pub fn limits<'a>(policies: impl Iterator<Item = (&'a str, &'a Monitor)>) -> BTreeMap<String, Limits> {
    let lower = |a: u8, b: u8| if a == 0 || (b != 0 && b < a) { b } else { a };
    let mut roots = BTreeMap::new();
    let mut others: BTreeMap<String, Limits> = BTreeMap::new();
    for (dataset, monitor) in policies {
        let new = Limits { warn: monitor.capacity_warn, critical: monitor.capacity_critical };
        let pool = dataset.split('/').next().unwrap_or(dataset).to_string();
        if pool == dataset {
            roots.insert(pool, new);
        } else {
            let of_pool = others.entry(pool).or_default();
            of_pool.warn = lower(of_pool.warn, new.warn);
            of_pool.critical = lower(of_pool.critical, new.critical);
        }
    }
    others.extend(roots);
    others.retain(|_, limits| *limits != Limits::default());
    others
}

/// Judges pools.
#[must_use]
pub fn judge(pools: &[(String, Limits, Pool)]) -> Report {
    let mut level = Level::Ok;
    let (mut absent, mut messages, mut list) = (Vec::new(), Vec::new(), Vec::new());
    let mut subjects = Vec::new();
    for (name, limits, pool) in pools {
        let (of_pool, capacity, text) = match pool {
            Pool::Missing => (Level::Critical, None, missing(name)),
            Pool::State { state, why } => {
                let known = state.as_ref().map(|state| format!(" (it is {state})")).unwrap_or_default();
                (Level::Unknown, None, format!("UNKNOWN ZPOOL {name} : {why}{known}"))
            }
            Pool::Known(status) => {
                let capacity = status.capacity;
                let reaches = |limit: u8| limit > 0 && capacity >= limit;
                let level = match limits {
                    Limits { critical, .. } if reaches(*critical) => Level::Critical,
                    Limits { warn, .. } if reaches(*warn) => Level::Warning,
                    _ => Level::Ok,
                };
                (level, Some(capacity), format!("{} ZPOOL {name} : {capacity}%", level.word()))
            }
        };
        level = level.max(of_pool);
        if of_pool > Level::Ok {
            subjects.push(Subject::seen(name, of_pool, &text));
        }
        match pool {
            Pool::Missing => absent.push(text),
            _ => messages.push(text),
        }
        list.push(json!({
            "pool": name,
            "level": of_pool,
            "capacity_percent": capacity,
            "warn_percent": limits.warn,
            "critical_percent": limits.critical,
        }));
    }
    Report::new(level, &joined(level, absent, messages), json!({ "pools": list }), subjects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::health::Status;
    use crate::policy::PerPeriod;

    fn known(capacity: u8) -> Pool {
        let health = "ONLINE".to_string();
        Pool::Known(Status { health, size: 100, free: 0, capacity, devices: Vec::new() })
    }

    fn text(pools: &[(&str, (u8, u8), Pool)]) -> (u8, String) {
        let pools: Vec<_> = pools
            .iter()
            .map(|(name, (warn, critical), pool)| {
                ((*name).to_string(), Limits { warn: *warn, critical: *critical }, pool.clone())
            })
            .collect();
        let report = judge(&pools);
        (report.level.status(), report.text)
    }

    #[test]
    fn limits_are_reached_by_equality_and_off_at_zero() {
        let ok = |said: &str| (0, said.to_string());
        assert_eq!(text(&[("a", (80, 95), known(42))]), ok("OK ZPOOL a : 42%"));
        let (code, said) = text(&[("a", (80, 95), known(80)), ("b", (80, 95), known(0))]);
        assert_eq!((code, said.as_str()), (1, "*** WARNING *** WARNING ZPOOL a : 80%, OK ZPOOL b : 0%"));
        assert_eq!(
            text(&[("a", (80, 95), known(95))]),
            (2, "*** CRITICAL *** CRITICAL ZPOOL a : 95%".to_string())
        );
        assert_eq!(text(&[("a", (0, 95), known(94))]).0, 0);
        assert_eq!(text(&[("a", (80, 0), known(100))]).0, 1);
        assert_eq!(text(&[]), ok(""));
    }

    #[test]
    fn a_pool_that_does_not_answer_is_never_fine() {
        assert_eq!(
            text(&[("a", (80, 95), Pool::Missing)]),
            (2, "CRITICAL ZPOOL {a} does not exist and/or is not responding!".to_string())
        );
        let hangs = Pool::State { state: Some("SUSPENDED".to_string()), why: "no answer".to_string() };
        let (code, said) = text(&[("a", (80, 95), hangs)]);
        assert_eq!(
            (code, said.as_str()),
            (3, "*** UNKNOWN *** UNKNOWN ZPOOL a : no answer (it is SUSPENDED)")
        );
    }

    #[test]
    fn the_root_decides_and_without_it_the_lowest() {
        let monitor = |capacity_warn, capacity_critical| Monitor {
            on: true,
            warn: true,
            critical: true,
            periods: PerPeriod::default(),
            capacity_warn,
            capacity_critical,
        };
        let (high, low, off) = (monitor(80, 95), monitor(0, 50), monitor(0, 0));
        let found = limits(
            [
                ("a/x", &low),
                ("a", &high),
                ("b/x", &high),
                ("b/y", &low),
                ("c", &off),
                ("d", &off),
                ("d/x", &high),
            ]
            .into_iter(),
        );
        let of = |pool: &str| found.get(pool).map(|limits| (limits.warn, limits.critical));
        assert_eq!((of("a"), of("b"), of("c"), of("d")), (Some((80, 95)), Some((80, 50)), None, None));
    }
}
