//! The few calls to etcd that a lease needs, as JSON over plain HTTP (the gateway of its version 3 API). Each call asks
//! one member after the other, all within one time, and reads a bounded answer. Numbers of 64 bits are texts there, keys
//! and values base64, and what is nothing or false is left out.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

use crate::cancel::Cancel;

/// The longest answer: one key with a short value.
const LONGEST: u64 = 64 << 10;

/// Asks the members of an etcd.
pub(super) struct Client {
    endpoints: Vec<SocketAddr>,
    timeout: Duration,
    agent: ureq::Agent,
}

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its value.
    pub(super) node: String,
    /// What it is bound to.
    pub(super) lease: Option<i64>,
}

impl Client {
    pub(super) fn new(endpoints: Vec<SocketAddr>, timeout: Duration) -> Self {
        // No proxy of the environment, and no redirect: who answers is who was asked.
        let config = ureq::Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        Self { endpoints, timeout, agent: config.build().into() }
    }

    /// What a key holds, by the majority.
    pub(super) fn get(&self, key: &str, cancel: &Cancel) -> Result<Option<Entry>, String> {
        let answer = self.ask("/v3/kv/range", &json!({ "key": STANDARD.encode(key) }), cancel)?;
        let Some(found) = answer.get("kvs").and_then(Value::as_array).and_then(|list| list.first()) else {
            return Ok(None);
        };
        let value = found.get("value").and_then(Value::as_str).unwrap_or_default();
        let value = STANDARD.decode(value).map_err(|_| "its value is not base64".to_string())?;
        let lease = number(found, "lease")?.filter(|lease| *lease != 0);
        Ok(Some(Entry { node: crate::transport::printable(&value, 80), lease }))
    }

    /// A new lease.
    pub(super) fn grant(&self, ttl: Duration, cancel: &Cancel) -> Result<i64, String> {
        let answer = self.ask("/v3/lease/grant", &json!({ "TTL": ttl.as_secs().to_string() }), cancel)?;
        number(&answer, "ID")?.ok_or_else(|| "it granted no lease".to_string())
    }

    /// Renews a lease. How long it lives now; `None` when there is no such lease any more.
    pub(super) fn keep_alive(&self, lease: i64, cancel: &Cancel) -> Result<Option<Duration>, String> {
        let answer = self.ask("/v3/lease/keepalive", &json!({ "ID": lease.to_string() }), cancel)?;
        lives(answer.get("result").ok_or("it did not say what became of the lease")?)
    }

    /// How long a lease lives still, without changing that; `None` when there is no such lease any more.
    pub(super) fn time_to_live(&self, lease: i64, cancel: &Cancel) -> Result<Option<Duration>, String> {
        lives(&self.ask("/v3/lease/timetolive", &json!({ "ID": lease.to_string() }), cancel)?)
    }

    /// Ends a lease, and with it the keys that are bound to it.
    pub(super) fn revoke(&self, lease: i64, cancel: &Cancel) -> Result<(), String> {
        self.ask("/v3/lease/revoke", &json!({ "ID": lease.to_string() }), cancel).map(drop)
    }

    /// Puts a key, in one step with the look that it is not there. Whether it was put.
    pub(super) fn put_if_absent(
        &self,
        key: &str,
        value: &str,
        lease: i64,
        cancel: &Cancel,
    ) -> Result<bool, String> {
        let absent = json!([{
            "key": STANDARD.encode(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0",
        }]);
        self.put_if(&absent, key, value, lease, cancel)
    }

    /// Puts a key, in one step with the look that it is bound to a lease of this node. Whether it was put.
    pub(super) fn put_if_ours(
        &self,
        key: &str,
        (ours, bound): (&str, i64),
        value: &str,
        lease: i64,
        cancel: &Cancel,
    ) -> Result<bool, String> {
        let name = STANDARD.encode(key);
        let ours = json!([
            { "key": name, "target": "VALUE", "result": "EQUAL", "value": STANDARD.encode(ours) },
            { "key": name, "target": "LEASE", "result": "EQUAL", "lease": bound.to_string() },
        ]);
        self.put_if(&ours, key, value, lease, cancel)
    }

    fn put_if(
        &self,
        compare: &Value,
        key: &str,
        value: &str,
        lease: i64,
        cancel: &Cancel,
    ) -> Result<bool, String> {
        let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
        let put = json!({ "request_put": { "key": key, "value": value, "lease": lease.to_string() } });
        let transaction = json!({ "compare": compare, "success": [put] });
        let answer = self.ask("/v3/kv/txn", &transaction, cancel)?;
        Ok(answer.get("succeeded") == Some(&Value::Bool(true)))
    }

    /// Asks one member after the other until one answers.
    fn ask(&self, path: &str, question: &Value, cancel: &Cancel) -> Result<Value, String> {
        let until = Instant::now() + self.timeout;
        let body = question.to_string();
        let mut whys = Vec::new();
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            if cancel.is_cancelled() {
                return Err("it was not waited for: the run is to stop".to_string());
            }
            // One that hangs leaves time for the others.
            let left = until.saturating_duration_since(Instant::now());
            let rest = u32::try_from(self.endpoints.len() - at).unwrap_or(u32::MAX);
            match self.one(*endpoint, path, &body, left / rest) {
                Ok(answer) => return Ok(answer),
                Err(why) => whys.push(format!("{endpoint}: {why}")),
            }
        }
        Err(if whys.is_empty() { "there is no member to ask".to_string() } else { whys.join("; ") })
    }

    fn one(&self, endpoint: SocketAddr, path: &str, body: &str, timeout: Duration) -> Result<Value, String> {
        let request = self.agent.post(format!("http://{endpoint}{path}"));
        let request = request.config().timeout_global(Some(timeout)).build();
        let sent = request.header("content-type", "application/json").send(body);
        let mut response = sent.map_err(|error| error.to_string())?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(LONGEST).read_to_vec();
        let text = text.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {}", crate::transport::printable(&text, 200)));
        }
        let answer: Value =
            serde_json::from_slice(&text).map_err(|error| format!("its answer is no JSON: {error}"))?;
        // A gateway that has begun to answer can only say so in the answer.
        match answer.get("error") {
            Some(error) => Err(crate::transport::printable(error.to_string().as_bytes(), 200)),
            None => Ok(answer),
        }
    }
}

/// How long a lease lives; one that is over has 0, -1, or nothing.
fn lives(answer: &Value) -> Result<Option<Duration>, String> {
    let ttl = number(answer, "TTL")?.and_then(|ttl| u64::try_from(ttl).ok()).filter(|ttl| *ttl > 0);
    Ok(ttl.map(Duration::from_secs))
}

/// A number, which is a text; `None` where it is left out.
fn number(value: &Value, key: &str) -> Result<Option<i64>, String> {
    let found = match value.get(key) {
        None => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_i64(),
    };
    found.map(Some).ok_or_else(|| format!("`{key}` is no number"))
}
