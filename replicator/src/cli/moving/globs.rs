//! Patterns of Perl, which syncoid takes, as the shell patterns of our own configuration. What shell patterns cannot say
//! is not said roughly: there is no answer then, and the reader is told.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::Class;
use regex_syntax::hir::Hir;
use regex_syntax::hir::HirKind;
use regex_syntax::hir::Look;

/// So many ways to write a pattern are taken.
const WAYS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// The name begins here.
    Start,
    /// The name ends here.
    End,
    Text(String),
    /// One of these characters, as the shell writes them: `[a-z]`, or `?`.
    One(String),
    /// Anything.
    Run,
}

/// The ways in which a pattern can be fulfilled, each from beginning to end.
fn ways(pattern: &str) -> Option<Vec<Vec<Piece>>> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let hir = parser.parse(pattern).ok()?;
    let ways = expand(&hir)?;
    ways.iter().map(|way| whole(way)).collect()
}

fn expand(hir: &Hir) -> Option<Vec<Vec<Piece>>> {
    let one = |piece| Some(vec![vec![piece]]);
    match hir.kind() {
        HirKind::Empty => Some(vec![Vec::new()]),
        HirKind::Literal(text) => one(Piece::Text(String::from_utf8(text.0.to_vec()).ok()?)),
        HirKind::Class(class) => one(Piece::One(set(class)?)),
        HirKind::Look(Look::Start) => one(Piece::Start),
        HirKind::Look(Look::End) => one(Piece::End),
        HirKind::Look(_) => None,
        HirKind::Capture(inner) => expand(&inner.sub),
        HirKind::Concat(parts) => {
            let mut ways = vec![Vec::new()];
            for part in parts {
                ways = product(&ways, &expand(part)?)?;
            }
            Some(ways)
        }
        HirKind::Alternation(parts) => {
            let mut ways = Vec::new();
            for part in parts {
                ways.extend(expand(part)?);
            }
            (ways.len() <= WAYS).then_some(ways)
        }
        HirKind::Repetition(times) => {
            let inner = expand(&times.sub)?;
            let any = inner == [[Piece::One("?".to_string())]];
            match (times.min, times.max) {
                (0, None) if any => one(Piece::Run),
                (1, None) if any => Some(vec![vec![Piece::One("?".to_string()), Piece::Run]]),
                (min, Some(max)) if max <= 8 => {
                    let mut all = Vec::new();
                    for count in min..=max {
                        let mut ways = vec![Vec::new()];
                        for _ in 0..count {
                            ways = product(&ways, &inner)?;
                        }
                        all.extend(ways);
                    }
                    (all.len() <= WAYS).then_some(all)
                }
                _ => None,
            }
        }
    }
}

fn product(heads: &[Vec<Piece>], tails: &[Vec<Piece>]) -> Option<Vec<Vec<Piece>>> {
    if heads.len() * tails.len() > WAYS {
        return None;
    }
    let join = |head: &Vec<Piece>| {
        tails.iter().map(|tail| head.iter().chain(tail).cloned().collect()).collect::<Vec<_>>()
    };
    Some(heads.iter().flat_map(join).collect())
}

/// Characters as the shell writes them.
fn set(class: &Class) -> Option<String> {
    let Class::Bytes(class) = class else { return None };
    let ranges = class.ranges();
    let names = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/ ".contains(&byte);
    // All that can stand in a name.
    let holds = |byte| ranges.iter().any(|range| (range.start()..=range.end()).contains(&byte));
    if (0..=255).filter(|byte| names(*byte)).all(holds) {
        return Some("?".to_string());
    }
    let mut text = String::from("[");
    for range in ranges {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.: ".contains(&byte);
        if !plain(range.start()) || !plain(range.end()) {
            return None;
        }
        text.push(char::from(range.start()));
        if range.end() > range.start() {
            text.push('-');
            text.push(char::from(range.end()));
        }
    }
    text.push(']');
    Some(text)
}

/// With what may stand before and behind it. None where a name would begin or end in the middle.
fn whole(way: &[Piece]) -> Option<Vec<Piece>> {
    let mut all: Vec<Piece> = Vec::new();
    let (start, end) = (way.first() == Some(&Piece::Start), way.last() == Some(&Piece::End));
    if !start {
        all.push(Piece::Run);
    }
    let inner = &way[usize::from(start)..way.len() - usize::from(end && way.len() > usize::from(start))];
    for piece in inner {
        match (all.last_mut(), piece) {
            (_, Piece::Start | Piece::End) => return None,
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(more),
            (Some(Piece::Run), Piece::Run) => {}
            _ => all.push(piece.clone()),
        }
    }
    if !end && all.last() != Some(&Piece::Run) {
        all.push(Piece::Run);
    }
    Some(all)
}

/// A text with nothing in it that a shell pattern would read otherwise. Nothing like that can stand in a name.
fn is_plain(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!', ','])
}

/// Patterns of the short names of snapshots. None where shell patterns cannot say it.
pub(in crate::cli) fn snapshots(pattern: &str) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    for way in ways(pattern)? {
        let mut glob = String::new();
        for piece in &way {
            match piece {
                Piece::Text(text) if is_plain(text) => glob.push_str(text),
                // No name fits.
                Piece::Text(_) => return None,
                Piece::One(set) => glob.push_str(set),
                Piece::Run => glob.push('*'),
                Piece::Start | Piece::End => return None,
            }
        }
        globs.push(glob);
    }
    Some(globs)
}

/// Patterns of what is to be left out below `root`, by paths below it; one that fits a dataset goes for all below it.
/// None where shell patterns cannot say it.
pub(in crate::cli) fn excluded(pattern: &str, root: &str) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    for way in ways(pattern)? {
        // How a path below the root may begin.
        let mut heads: Vec<String> = Vec::new();
        let rest = match way.split_first() {
            Some((Piece::Run, rest)) => {
                heads.extend(["*".to_string(), "**/*".to_string()]);
                if let Some(Piece::Text(text)) = rest.first() {
                    // The text may begin in the name of the root, or with the slash behind it.
                    for (at, _) in text.match_indices('/') {
                        if root.ends_with(&text[..at]) {
                            let below = text[at + 1..].to_string();
                            globs.extend(finished(&[below], &rest[1..])?);
                        }
                    }
                    if text.starts_with('/') {
                        // What comes before the slash is a whole name.
                        heads = vec!["**".to_string()];
                    }
                }
                rest
            }
            Some((Piece::Text(text), rest)) => {
                match text.strip_prefix(root).and_then(|below| below.strip_prefix('/')) {
                    Some(below) => heads.push(below.to_string()),
                    // A name on another tree, or one that a class might still lead into this one.
                    None if root.starts_with(text.as_str()) => return None,
                    None => continue,
                }
                rest
            }
            _ => return None,
        };
        globs.extend(finished(&heads, rest)?);
    }
    globs.dedup();
    Some(globs)
}

fn finished(heads: &[String], rest: &[Piece]) -> Option<Vec<String>> {
    let mut globs = heads.to_vec();
    for (at, piece) in rest.iter().enumerate() {
        match piece {
            Piece::Text(text) if is_plain(text) => globs.iter_mut().for_each(|glob| glob.push_str(text)),
            Piece::Text(_) | Piece::Start | Piece::End => return None,
            Piece::One(set) => globs.iter_mut().for_each(|glob| glob.push_str(set)),
            Piece::Run if at + 1 == rest.len() => globs.iter_mut().for_each(|glob| glob.push('*')),
            // Within a name, or over several.
            Piece::Run => {
                globs = globs.iter().flat_map(|glob| [format!("{glob}*"), format!("{glob}*/**/*")]).collect();
            }
        }
    }
    (globs.len() <= WAYS).then_some(globs)
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;
    use zfs_core::name::DatasetName;

    use super::*;
    use crate::plan::Patterns;

    #[test]
    fn snapshots_are_those_that_the_pattern_takes() {
        let names = [
            "autosnap_2026-11-27_00:00:01_daily",
            "autosnap_2026-11-27_00:00:01_hourly",
            "autosnap_2026-11-27_00:00:01_monthly",
            "syncoid_nas_2026-11-27:01:36:00-GMT00:00",
            "manual",
            "a",
            "daily",
            "weekly-1",
            "xdailyx",
        ];
        for pattern in [
            "^autosnap_",
            "daily$",
            "hourly|daily",
            "_(hourly|daily)$",
            "^autosnap_.*_monthly$",
            "^autosnap_2026-[01][0-9]-.*ly$",
            "manual",
            "^manual$",
            "^.$",
            "weekly-?1",
            "^a",
            "da.ly",
            "^[a-m].+l",
        ] {
            let regex = Regex::new(pattern).expect("a pattern");
            let globs = snapshots(pattern).unwrap_or_else(|| panic!("{pattern} has no globs"));
            let ours = Patterns::new(&globs, &[]).expect("globs");
            for name in names {
                assert_eq!(
                    ours.select(name),
                    regex.is_match(name).expect("matched"),
                    "{pattern} {globs:?} {name}"
                );
            }
        }
    }

    #[test]
    fn datasets_are_left_out_with_all_below_them() {
        let names = [
            "tank/data",
            "tank/data/tmp",
            "tank/data/tmp/deep",
            "tank/data/tmp2",
            "tank/data/a/tmp",
            "tank/data/a/xtmpx",
            "tank/data/a/b",
            "tank/data/vm-1",
            "tank/data/vm-1/disk",
        ];
        let root = DatasetName::try_from("tank/data").expect("a name");
        for pattern in [
            "tmp",
            "/tmp",
            "data/tmp",
            "^tank/data/tmp",
            "a/.*tmp",
            "tmp|vm-[0-9]",
            "^tank/data/(a|vm)",
            "deep$",
            "^other/tmp",
            "k/data/a",
        ] {
            let regex = Regex::new(pattern).expect("a pattern");
            let globs = excluded(pattern, "tank/data").unwrap_or_else(|| panic!("{pattern} has no globs"));
            let ours = Patterns::new(&[], &globs).expect("globs");
            for name in names {
                let dataset = DatasetName::try_from(name).expect("a name");
                let left_out = regex.is_match(name).expect("matched");
                assert_eq!(!ours.select_dataset(&dataset, &root), left_out, "{pattern} {globs:?} {name}");
            }
        }
    }

    #[test]
    fn what_shell_patterns_cannot_say_is_not_said() {
        for pattern in ["[0-9]+", "(?!x)y", "a{9}", "\\bx", "x^y", "(a|b)*", "["] {
            assert_eq!(snapshots(pattern), None, "{pattern}");
        }
        // It would have to fit the name of the root in part.
        assert_eq!(excluded("^tank", "tank/data"), None);
    }
}
