//! `--sendoptions` and `--recvoptions`: letters, some with a word behind them, meant for the commands of ZFS. Here is
//! what each means where streams are made and taken in natively, and why some cannot be had.

use zfs_core::send::SendFlags;

/// What `--sendoptions` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SendOptions {
    /// The form of the blocks.
    pub(super) flags: SendFlags,
    /// The holds of what is sent go with it (`h`).
    pub(super) holds: bool,
}

/// What `--recvoptions` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceiveOptions {
    /// What is received for the first time is not mounted (`u`).
    pub(super) unmounted: bool,
    /// Properties to set (`o`).
    pub(super) set: Vec<(String, String)>,
    /// Properties that are not set (`x`).
    pub(super) kept_out: Vec<String>,
    /// Holds stay where they are (`h`).
    pub(super) no_holds: bool,
}

/// A letter, and the word behind it.
type Letter<'t> = (char, Option<&'t str>);

/// Takes the letters apart as syncoid does.
fn letters(text: &str) -> Option<Vec<Letter<'_>>> {
    let mut all = Vec::new();
    let mut waiting = None;
    for word in text.split(' ') {
        if let Some(letter) = waiting.take() {
            all.push((letter, Some(word)));
            continue;
        }
        for letter in word.chars() {
            if waiting.is_some() {
                return None;
            }
            if matches!(letter, 'o' | 'x' | 'X') {
                waiting = Some(letter);
            } else {
                all.push((letter, None));
            }
        }
    }
    if all.is_empty() { None } else { Some(all) }
}

/// Reads `--sendoptions`.
///
/// # Errors
/// Why nothing can be done with them.
pub(super) fn send(text: &str, recursive: bool) -> Result<SendOptions, String> {
    let all = letters(text).ok_or("WARNING: invalid send options!")?;
    if recursive && all.iter().any(|(letter, _)| *letter == 'R') {
        let why = "WARNING: invalid argument combination, zfs send -R and --recursive aren't compatible!";
        return Err(why.to_string());
    }
    let mut options = SendOptions::default();
    for (letter, _) in all {
        match letter {
            'L' => options.flags.large_blocks = true,
            'c' => options.flags.compressed = true,
            'e' => options.flags.embedded = true,
            // As zfs(8) does: what is not encrypted goes as it is on disk, too.
            'w' => {
                options.flags = SendFlags { raw: true, compressed: true, large_blocks: true, embedded: true }
            }
            // They change what is printed; letters that syncoid does not know it leaves out as well.
            'P' | 'V' | 'v' => {}
            'p' | 'b' => {
                return Err(refused(letter, "no stream carries properties here; use --preserve-properties"));
            }
            // No stream carries them: they are placed when it has arrived.
            'h' => options.holds = true,
            'R' => return Err(refused(letter, "no stream carries several datasets here; use --recursive")),
            'X' | 's' => {
                return Err(refused(letter, "it is for -R only; use --recursive and --exclude-datasets"));
            }
            _ => {}
        }
    }
    Ok(options)
}

fn refused(letter: char, why: &str) -> String {
    format!("CRITICAL: zfs send -{letter} is not supported: {why}")
}

/// Reads `--recvoptions`.
///
/// # Errors
/// Why nothing can be done with them.
pub(super) fn receive(text: &str) -> Result<ReceiveOptions, String> {
    let mut options = ReceiveOptions::default();
    for (letter, word) in letters(text).ok_or("WARNING: invalid receive options!")? {
        match (letter, word) {
            ('u', _) => options.unmounted = true,
            ('h', _) => options.no_holds = true,
            ('x', Some(name)) => options.kept_out.push(name.to_string()),
            ('o', Some(pair)) => {
                let (name, value) =
                    pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                        format!("CRITICAL: zfs receive -o {pair} is not a property with a value")
                    })?;
                // `origin` is no property, and what it stands for is found out by GUID.
                if name == "origin" {
                    return Err("CRITICAL: zfs receive -o origin is not supported: clones are found by GUID"
                        .to_string());
                }
                options.set.push((name.to_string(), value.to_string()));
            }
            // `v` changes what is printed; letters that syncoid does not know it leaves out as well.
            _ => {}
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_taken_apart_as_there() {
        assert_eq!(letters("Lc e"), Some(vec![('L', None), ('c', None), ('e', None)]));
        let with = vec![('u', None), ('x', Some("recordsize")), ('o', Some("a=b")), ('v', None)];
        assert_eq!(letters("ux recordsize o a=b v"), Some(with));
        assert_eq!(letters("ox a"), None);
        assert_eq!(letters(""), None);
    }

    #[test]
    fn what_has_a_native_meaning_is_taken() {
        let flags = |text| send(text, true).expect("fine").flags;
        assert_eq!(
            flags("Lce"),
            SendFlags { raw: false, compressed: true, large_blocks: true, embedded: true }
        );
        assert!(flags("w").raw && flags("w").embedded);
        assert_eq!(flags("PVvZ"), SendFlags::default());
        assert!(send("h", true).expect("fine").holds && !send("w", true).expect("fine").holds);
        let taken = receive("ux mountpoint o compression=zstd hv").expect("fine");
        assert!(taken.unmounted && taken.no_holds);
        assert_eq!(taken.kept_out, ["mountpoint"]);
        assert_eq!(taken.set, [("compression".to_string(), "zstd".to_string())]);
    }

    #[test]
    fn what_has_none_is_refused_with_the_reason() {
        for letter in ["p", "b", "X tank/a", "s"] {
            assert!(send(letter, false).expect_err(letter).starts_with("CRITICAL: zfs send -"), "{letter}");
        }
        assert!(send("R", false).expect_err("R").contains("--recursive"));
        assert!(send("R", true).expect_err("R").starts_with("WARNING: invalid argument combination"));
        assert!(send("", true).is_err() && receive("").is_err());
        assert!(receive("o mountpoint").is_err());
        assert!(receive("o origin=tank/a@b").is_err());
    }
}
