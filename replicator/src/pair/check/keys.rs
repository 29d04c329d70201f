//! The way from each node to the other: who answers there, and that the key may start the agent of the pair and nothing
//! else.

use zfs_core::name::DatasetName;

use super::some;
use super::unknown;
use crate::check::Finding;
use crate::role::observation::Seen;

/// What an agent of a pair has to allow: to be looked at, to receive, and to be promoted by a handover.
const NEEDED: [&str; 5] = ["list", "receive", "discard", "bookmark", "take-over"];

/// What it allows where nothing is said.
const DEFAULT: &str = "list,receive,discard,bookmark";

/// The way to the other node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// How the other node is reached: `root@192.0.2.2`.
    pub machine: String,
    /// What answers there.
    pub reached: Result<Spoken, Unreached>,
    /// Whether the key starts any command there, and not only the agent.
    pub any_command: Seen<bool>,
    /// This program, and the versions of the protocol that it speaks.
    pub program: String,
}

/// An agent that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The version of the protocol that both speak.
    pub version: u16,
    /// The program there, and the versions that it speaks.
    pub program: String,
}

/// Nobody answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Why.
    pub why: String,
    /// What can be done about it.
    pub fix: Option<String>,
}

/// A line of authorized_keys, in the form of sshd(8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether nothing but what follows is allowed.
    pub restrict: bool,
    /// The command that is started whatever is asked for.
    pub command: Option<String>,
}

/// What the key of the other node has to start here.
pub(super) struct Wanted<'a> {
    pub(super) node: &'a str,
    pub(super) peer: &'a str,
    pub(super) roots: Vec<&'a DatasetName>,
}

/// What there is to say of the way to the other node.
pub(super) fn of_the_way(way: &Way, peer: &str) -> Vec<Finding> {
    let machine = &way.machine;
    let spoken = match &way.reached {
        Err(unreached) => {
            let text =
                format!("{peer} cannot be asked, and everything about it is not known: {}", unreached.why);
            return vec![Finding::fail("reach", text, unreached.fix.clone())];
        }
        Ok(spoken) => spoken,
    };
    let mut all = vec![Finding::ok("reach", format!("{machine} answers"))];
    all.push(if spoken.program == way.program {
        Finding::ok("agent", format!("both nodes have {}", spoken.program))
    } else {
        let text = format!(
            "{peer} has {}, and this node {}: they speak version {} of the protocol",
            spoken.program, way.program, spoken.version
        );
        Finding::warn("agent", text, "install the newer of both on both nodes".to_string())
    });
    all.push(match &way.any_command {
        Seen::Unknown(why) => {
            let fix = format!("see authorized_keys on {peer}: the line of this node's key begins with restrict,command=");
            unknown("key", format!("what else the key may start on {peer}"), why, fix)
        }
        Seen::Known(false) => Finding::ok("key", format!("the key starts the agent on {peer} and nothing else")),
        Seen::Known(true) => {
            let text = format!("the key starts any command on {peer}: who takes over this node has that one, too");
            let fix = "give the pair a key of its own (ssh = { identity = … }), tied to the agent as docs/pair.md shows";
            Finding::warn("key", text, fix.to_string())
        }
    });
    all
}

/// Reads authorized_keys.
#[must_use]
pub fn parse(text: &str) -> Vec<Line> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(line).collect()
}

fn line(text: &str) -> Line {
    let mut found = Line { restrict: false, command: None };
    let options = first_word(text);
    // Without options the line begins with the type of the key.
    if is_key_type(options) {
        return found;
    }
    for option in split(options, ',') {
        if option.eq_ignore_ascii_case("restrict") {
            found.restrict = true;
        } else if let Some((name, value)) = option.split_once('=')
            && name.eq_ignore_ascii_case("command")
        {
            let value = value.strip_prefix('"').unwrap_or(value);
            found.command = Some(value.strip_suffix('"').unwrap_or(value).replace("\\\"", "\""));
        }
    }
    found
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|begin| word.starts_with(begin)) && !word.contains(['=', ','])
}

/// Up to the first blank that does not stand in quotes.
fn first_word(text: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return &text[..at],
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    text
}

/// The parts between separators that do not stand in quotes.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut all, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        if c == separator && !quoted {
            all.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    all.push(part);
    all
}

/// An agent, as a key starts it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Agent {
    everywhere: bool,
    roots: Vec<String>,
    allowed: Vec<String>,
    node: Option<String>,
}

/// Reads `replicator agent --root …`; none where something else is started.
fn agent(command: &str) -> Option<Agent> {
    let bare = |word: String| word.trim_matches(['"', '\'']).to_string();
    let words: Vec<String> =
        split(command, ' ').into_iter().filter(|word| !word.is_empty()).map(bare).collect();
    let at = words.iter().position(|word| word == "agent")?;
    let program = words.get(at.checked_sub(1)?)?;
    if program.rsplit('/').next() != Some("replicator") {
        return None;
    }
    let mut found = Agent::default();
    let mut allow = DEFAULT.to_string();
    let mut rest = words[at + 1..].iter();
    while let Some(word) = rest.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(bare(value.to_string()))),
            None => (word.as_str(), None),
        };
        let mut value = || value.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
        match name {
            "--everywhere" => found.everywhere = true,
            "--root" => found.roots.push(value()),
            "--allow" => allow = value(),
            "--node" => found.node = Some(value()),
            _ => {}
        }
    }
    found.allowed = allow.split(',').map(str::to_string).collect();
    Some(found)
}

impl Agent {
    /// What keeps it from being the one of this pair, each with how grave that is: true where a run fails.
    fn lacks(&self, wanted: &Wanted<'_>) -> Vec<(bool, String)> {
        let mut all = Vec::new();
        let holds = |root: &&&DatasetName| {
            let within =
                |given: &String| given.parse::<DatasetName>().is_ok_and(|given| root.is_within(&given));
            self.everywhere || self.roots.iter().any(within)
        };
        let outside: Vec<_> = wanted.roots.iter().filter(|root| !holds(root)).collect();
        if !outside.is_empty() {
            all.push((true, format!("--root for {}", some(&outside))));
        }
        let has = |one: &&str| self.allowed.iter().any(|allowed| allowed == one || allowed == "all");
        let missing: Vec<_> = NEEDED.into_iter().filter(|one| !has(one)).collect();
        if !missing.is_empty() {
            all.push((
                missing.iter().any(|one| *one != "take-over"),
                format!("--allow {}", missing.join(",")),
            ));
        }
        match &self.node {
            None => all.push((false, format!("--node {}", wanted.node))),
            Some(node) if node != wanted.node => {
                all.push((true, format!("--node {} (it has {node})", wanted.node)));
            }
            Some(_) => {}
        }
        all
    }
}

/// What there is to say of the keys that get in here, of which one is the other node's.
pub(super) fn of_this_node(keys: &Seen<Vec<Line>>, wanted: &Wanted<'_>) -> Vec<Finding> {
    let (node, peer) = (wanted.node, wanted.peer);
    let fix = format!("the line that docs/pair.md shows, in authorized_keys on {node}");
    let lines = match keys {
        Seen::Unknown(why) => {
            return vec![unknown("key", format!("what keys get in on {node}"), why, fix)];
        }
        Seen::Known(lines) => lines,
    };
    let agents = lines.iter().filter_map(|line| Some((line, agent(line.command.as_deref()?)?)));
    let judged = agents.map(|(line, agent)| (line, agent.lacks(wanted)));
    let Some((line, lacks)) = judged.min_by_key(|(_, lacks)| (lacks.iter().any(|one| one.0), lacks.len()))
    else {
        let text = format!("no key is found on {node} that starts the agent for {peer} and nothing else");
        return vec![Finding::warn("key", text, fix)];
    };
    let mut all = Vec::new();
    for (fails, what) in &lacks {
        let text = format!("the key that starts the agent on {node} lacks {what}");
        all.push(if *fails {
            Finding::fail("key", text, fix.clone())
        } else {
            Finding::warn("key", text, fix.clone())
        });
    }
    if !line.restrict {
        let text = format!("the key that starts the agent on {node} lacks restrict: it may forward ports");
        all.push(Finding::warn("key", text, fix));
    }
    if all.is_empty() {
        let whole = lines.iter().filter(|line| line.command.is_none()).count();
        let beside = match whole {
            0 => String::new(),
            1 => "; beside it 1 key starts anything".to_string(),
            whole => format!("; beside it {whole} keys start anything"),
        };
        let text = format!("a key on {node} starts the agent of the pair and nothing else{beside}");
        all.push(Finding::ok("key", text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Grade;

    const GOOD: &str = "restrict,command=\"replicator agent --node thinkpad --root zpool1/data --root zpool2/photos \
                        --allow list,receive,discard,bookmark,take-over\" ssh-ed25519 AAAA root@elitedesk";

    fn grades(text: &str) -> Vec<(Grade, String)> {
        let (one, two) = ("zpool1/data".parse().expect("a name"), "zpool2/photos".parse().expect("a name"));
        let wanted = Wanted { node: "thinkpad", peer: "elitedesk", roots: vec![&one, &two] };
        let found = of_this_node(&Seen::Known(parse(text)), &wanted);
        found.into_iter().map(|one| (one.grade, one.text)).collect()
    }

    #[test]
    fn lines_of_authorized_keys_are_read_with_their_options() {
        let text = format!(
            "# a comment\n\n{GOOD}\nssh-rsa AAAA me\nfrom=\"10.0.0.1,10.0.0.2\",no-pty ssh-ed25519 AAAA\n\
             command=\"echo \\\"a b\\\"\" ssh-ed25519 AAAA\n"
        );
        let found = parse(&text);
        assert_eq!(found.len(), 4);
        assert!(found[0].restrict);
        assert!(
            found[0].command.as_deref().is_some_and(|one| one.ends_with("bookmark,take-over")),
            "{found:?}"
        );
        assert_eq!(found[1], Line { restrict: false, command: None });
        assert_eq!(found[2], found[1]);
        assert_eq!(found[3].command.as_deref(), Some("echo \"a b\""));
    }

    #[test]
    fn an_agent_is_known_by_its_command() {
        let found = agent("sudo /usr/sbin/replicator agent --root=\"zpool1/a\" --everywhere --allow all")
            .expect("one");
        assert_eq!(found.roots, ["zpool1/a"]);
        assert!(found.everywhere && found.allowed == ["all"] && found.node.is_none());
        assert_eq!(agent("replicator agent --root a/b").expect("one").allowed.join(","), DEFAULT);
        for other in ["replicator list", "ssh-agent", "agent", "/bin/sh -c agent", ""] {
            assert_eq!(agent(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_that_may_do_too_little_or_too_much_is_found() {
        assert_eq!(grades(GOOD).iter().map(|one| one.0).collect::<Vec<_>>(), [Grade::Ok]);
        let beside = format!("ssh-rsa AAAA root@pve\n{GOOD}\n");
        assert!(grades(&beside)[0].1.contains("beside it 1 key starts anything"), "{:?}", grades(&beside));
        for (from, to, grade, words) in [
            ("--root zpool2/photos ", "", Grade::Fail, "--root for zpool2/photos"),
            ("--root zpool1/data", "--root zpool1/dat", Grade::Fail, "--root for zpool1/data"),
            (",take-over", "", Grade::Warn, "--allow take-over"),
            ("list,receive,", "", Grade::Fail, "--allow list,receive"),
            ("--node thinkpad ", "", Grade::Warn, "--node thinkpad"),
            ("--node thinkpad ", "--node elitedesk ", Grade::Fail, "it has elitedesk"),
            ("restrict,", "", Grade::Warn, "restrict"),
        ] {
            let found = grades(&GOOD.replacen(from, to, 1));
            assert_eq!(found.len(), 1, "{from}: {found:?}");
            assert_eq!(found[0].0, grade, "{from}: {found:?}");
            assert!(found[0].1.contains(words), "{from}: {found:?}");
        }
        // A line of another purpose beside it is not the one.
        let other = "restrict,command=\"replicator agent --root backup/a\" ssh-rsa AAAA\n";
        assert_eq!(grades(&format!("{other}{GOOD}"))[0].0, Grade::Ok);
        assert_eq!(grades("ssh-rsa AAAA root@elitedesk")[0].0, Grade::Warn);
    }

    #[test]
    fn what_answers_there_is_judged() {
        let spoken = |program: &str| Spoken { version: 8, program: program.to_string() };
        let way = |reached, any_command| Way {
            machine: "root@b".to_string(),
            reached,
            any_command,
            program: "replicator 1 (protocol 1 to 8)".to_string(),
        };
        let grades = |way: &Way| of_the_way(way, "b").iter().map(|one| one.grade).collect::<Vec<_>>();
        let same = "replicator 1 (protocol 1 to 8)";
        assert_eq!(grades(&way(Ok(spoken(same)), Seen::Known(false))), [Grade::Ok; 3]);
        let older = way(Ok(spoken("replicator 0 (protocol 1 to 7)")), Seen::Known(true));
        assert_eq!(grades(&older), [Grade::Ok, Grade::Warn, Grade::Warn]);
        let lost = way(Ok(spoken(same)), Seen::unknown("the connection broke"));
        assert_eq!(grades(&lost), [Grade::Ok, Grade::Ok, Grade::Warn]);
        let unreached = Unreached { why: "no route".to_string(), fix: Some("look".to_string()) };
        assert_eq!(grades(&way(Err(unreached), Seen::Known(false))), [Grade::Fail]);
    }
}
