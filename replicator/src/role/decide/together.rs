//! What the roots of a pair say together about a node, each of which was decided about by itself: pure.

use super::Names;
use super::Purpose;
use super::Reason;
use super::Remedy;
use super::Root;
use super::Verdict;
use super::Without;
use super::reason;
use crate::role::Role;
use crate::role::epochs::Epochs;
use crate::role::observation::About;

/// A root with what follows from it.
pub(super) type OfRoot<'r, 'o> = (&'r Root<'o>, Verdict);

/// What the roots say together. Where one is not known, or is not the one that it was, the timer goes on with the others,
/// and a change of the role waits. Roots of different epochs are a promotion that was cut off between two of them, which
/// promoting again finishes.
pub(super) fn together(
    names: &Names,
    epochs: &Epochs,
    all: Vec<OfRoot<'_, '_>>,
    purpose: Purpose,
) -> Verdict {
    let Some((_, first)) = all.first() else {
        return Verdict::one(Role::Unknown, Remedy::Wait, About::Epoch, "the pair has no roots");
    };
    let (role, remedy) = (first.role, first.remedy);
    // Of roots that this node holds in different epochs, the later ones are those of a promotion that was cut off.
    let held = all.iter().filter(|(_, one)| one.role == Role::Active).map(|(root, _)| root.number());
    let newest = held.max().unwrap_or(0);
    let lags = |root: &Root<'_>, one: &Verdict| match one.role {
        Role::Active => root.number() < newest,
        _ => one.remedy == Remedy::Promote,
    };
    let alike = |(root, one): &OfRoot<'_, '_>| {
        (one.role, one.remedy) == (role, remedy) && (role != Role::Active || !lags(root, one))
    };
    if all.iter().all(alike) {
        return shared(all, true);
    }
    // Whoever was overtaken on one root was on all, though it may not show yet.
    for remedy in [Remedy::Choose, Remedy::Rejoin, Remedy::Handover, Remedy::Wait] {
        let is = |one: &Verdict| one.role == Role::Isolated && one.remedy == remedy;
        if all.iter().any(|(_, one)| is(one)) {
            return shared(all.into_iter().filter(|(_, one)| is(one)).collect(), false);
        }
    }
    let is_out = |one: &Verdict| one.role == Role::Unknown || one.remedy == Remedy::Look;
    let (mut out, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, one)| is_out(one));
    if rest.is_empty() || purpose == Purpose::Change && !out.is_empty() {
        let remedy = gravest(&out);
        return Verdict { role: Role::Unknown, remedy, ..shared(out, false) };
    }
    let is_whole = |(root, one): &OfRoot<'_, '_>| one.role == Role::Active && !lags(root, one);
    if rest.iter().any(|(root, one)| lags(root, one)) && rest.iter().any(is_whole) {
        // One that was never in an epoch is new, or its first promotion was cut off before anybody could write.
        let is_new = |(root, one): &OfRoot<'_, '_>| !lags(root, one) || root.ours.known() == Some(&None);
        if purpose == Purpose::Change || !rest.iter().all(is_new) {
            let role = if purpose == Purpose::Change { Role::Standby } else { Role::Unknown };
            let text = format!(
                "the roots of this node are in different epochs, as after a promotion that was cut off ({epochs}): promoting {} again finishes it",
                names.here
            );
            let reasons = vec![reason(About::Owner, "the service is here"), reason(About::Epoch, text)];
            return Verdict::new(role, Remedy::Promote, reasons);
        }
        let (new, old): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(root, one)| lags(root, one));
        out.extend(new);
        rest = old;
    }
    let mut verdict = shared(rest, out.is_empty());
    for (root, one) in &out {
        let text = format!("{} is left out: {}", root.name, one.why());
        verdict.reasons.push(reason(About::Epoch, text));
        verdict.without.push(Without { root: root.name.to_string(), why: one.why() });
    }
    if !out.is_empty() {
        verdict.remedy = gravest(&out);
    }
    verdict
}

/// What has to be done first of what has to be done about these.
fn gravest(of: &[OfRoot<'_, '_>]) -> Remedy {
    let asks = |remedy: Remedy| of.iter().any(|(_, one)| one.remedy == remedy);
    [Remedy::Look, Remedy::Wait].into_iter().find(|remedy| asks(*remedy)).unwrap_or(Remedy::Promote)
}

/// The verdict that these roots share. What only some of them say is said with their names; `whole`, whether these are all.
fn shared(of: Vec<OfRoot<'_, '_>>, whole: bool) -> Verdict {
    let mut remedies = of.iter().map(|(_, one)| one.remedy);
    let remedy = remedies.find(|remedy| *remedy != Remedy::Nothing).unwrap_or(Remedy::Nothing);
    let role = of.first().map_or(Role::Unknown, |(_, one)| one.role);
    // A node that follows gets the epochs one after the other, and has followed as far as the lowest.
    let follows = whole && role == Role::Standby && remedy == Remedy::Nothing;
    let of: Vec<_> = match follows {
        true => of.into_iter().min_by_key(|(root, _)| root.number()).into_iter().collect(),
        false => of,
    };
    let all: Vec<&Reason> = of.iter().flat_map(|(_, one)| &one.reasons).collect();
    let says = |text: &str| all.iter().filter(|reason| reason.text == text).count();
    let mut reasons: Vec<Reason> = Vec::new();
    for (root, one) in &of {
        for found in &one.reasons {
            let common = says(&found.text) == of.len() && (whole || found.about != About::Epoch);
            let text = if common { found.text.clone() } else { format!("{}{}", root.prefix(), found.text) };
            if !reasons.iter().any(|known| known.text == text) {
                reasons.push(reason(found.about, text));
            }
        }
    }
    Verdict::new(role, remedy, reasons)
}
