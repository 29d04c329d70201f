//! The grammar, by example and by property.

use proptest::prelude::*;

use super::*;

fn reason(name: &str) -> NameErrorReason {
    DatasetName::try_from(name).unwrap_err().reason
}

#[test]
fn legal_dataset_names_are_kept_as_they_are() {
    for name in
        ["tank", "t", "tank/a", "tank/foo bar", "tank/ ", "tank/a-b_c.d:e", "tank/...", "Tank/c0", "c0t0"]
    {
        assert_eq!(DatasetName::try_from(name).unwrap(), name);
    }
}

#[test]
fn each_broken_rule_is_named() {
    use NameErrorReason as R;
    assert_eq!(reason(""), R::Empty);
    assert_eq!(reason(&"a".repeat(300)), R::TooLong { length: 300, max: 255 });
    assert_eq!(reason("/tank"), R::LeadingSlash);
    assert_eq!(reason("/"), R::LeadingSlash);
    assert_eq!(reason("tank/"), R::TrailingSlash);
    assert_eq!(reason("tank//a"), R::EmptyComponent);
    assert_eq!(reason("tank/../a"), R::DotComponent);
    assert_eq!(reason("tank/."), R::DotComponent);
    assert_eq!(reason("tank@a"), R::Delimiter { found: '@' });
    assert_eq!(reason("tank#a"), R::Delimiter { found: '#' });
    assert_eq!(reason("1tank"), R::PoolFirstLetter);
    assert_eq!(reason("-o/a"), R::PoolFirstLetter);
    assert_eq!(reason("mirror/a"), R::PoolReserved);
    for (name, found) in [
        ("tank/$HOME", "'$'"),
        ("tank/%recv", "'%'"),
        ("tank/a;b", "';'"),
        ("tank/a\nb", "'\\n'"),
        ("tank/\0", "'\\u{0}'"),
        ("tank/ä", "'\\u{e4}'"),
    ] {
        assert_eq!(reason(name), R::Character { found: found.into() }, "{name:?}");
    }
}

#[test]
fn nesting_is_limited_as_in_the_kernel() {
    let deep = |levels: usize| vec!["a"; levels].join("/");
    assert_eq!(DatasetName::try_from(deep(50).as_str()).unwrap().depth(), 50);
    assert_eq!(reason(&deep(51)), NameErrorReason::TooDeep { depth: 51, max: 50 });
    assert_eq!(DatasetName::from_kernel(&deep(51)).unwrap().depth(), 51);
    assert!(DatasetName::from_kernel("a/$b").is_err());
}

#[test]
fn messages_are_escaped_shortened_and_say_what_is_allowed() {
    let error = DatasetName::try_from("tank/a\nERROR: forged").unwrap_err();
    assert_eq!(
        error.to_string(),
        "dataset name \"tank/a\\nERROR: forged\" is not valid: at byte 6: '\\n' is not allowed; \
         letters A-Z and a-z, digits, '-', '_', '.', ':' and space are"
    );
    let error = DatasetName::try_from("x".repeat(4000).as_str()).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn snapshots_and_bookmarks_split_at_their_delimiter() {
    let snapshot: SnapshotName = "tank/a b@daily 1".parse().unwrap();
    assert_eq!((snapshot.dataset().as_str(), snapshot.short()), ("tank/a b", "daily 1"));
    let bookmark: BookmarkName = "tank#m".parse().unwrap();
    assert_eq!((bookmark.dataset().as_str(), bookmark.short()), ("tank", "m"));
    assert_eq!(bookmark.dataset().bookmark("m").unwrap(), bookmark);

    let reason = |name: &str| SnapshotName::try_from(name).unwrap_err().reason;
    assert_eq!(reason("tank/a"), NameErrorReason::NoDelimiter { delimiter: '@' });
    assert_eq!(reason("tank@a@b"), NameErrorReason::AfterDelimiter { found: '@' });
    assert_eq!(reason("tank@a/b"), NameErrorReason::AfterDelimiter { found: '/' });
    assert_eq!(reason("tank@"), NameErrorReason::EmptyComponent);
    assert_eq!(reason("tank@.."), NameErrorReason::DotComponent);
    assert_eq!(reason("tank/@a"), NameErrorReason::TrailingSlash);
    assert_eq!(reason("tank#a@b"), NameErrorReason::Character { found: "'#'".into() });
    assert!(BookmarkName::try_from("tank@a").is_err());
}

#[test]
fn family_relations_follow_components_not_bytes() {
    let name = |text: &str| DatasetName::try_from(text).unwrap();
    assert!(name("tank/a/b").is_within(&name("tank/a")));
    assert!(name("tank/a").is_within(&name("tank/a")));
    assert!(!name("tank/ab").is_within(&name("tank/a")));
    assert_eq!(name("tank/a/b").strip_prefix(&name("tank")), Some("a/b"));
    assert_eq!(name("tank").parent(), None);
    assert_eq!(name("tank/a/b").parent(), Some(name("tank/a")));
    assert_eq!(name("tank").child("a/b").unwrap(), "tank/a/b");
    assert!(name("tank").child("../other").is_err());
    assert!(name("tank").child("").is_err());
    assert!(name("tank").snapshot("a@b").is_err());
}

#[test]
fn the_partial_receive_has_a_name_no_input_can_make() {
    let partial = DatasetName::try_from("tank/a").unwrap().partial_receive().unwrap();
    assert_eq!(partial, "tank/a/%recv");
    assert!(partial.is_internal());
    assert!(DatasetName::try_from(partial.as_str()).is_err());
    assert!(DatasetName::from_kernel(partial.as_str()).is_err());
    let long = DatasetName::try_from("a".repeat(250).as_str()).unwrap();
    assert!(long.partial_receive().is_err());
}

#[test]
fn hold_tags_are_bytes_shown_escaped() {
    let tag = HoldTag::try_from(&b"a\tb\n\xff"[..]).unwrap();
    assert_eq!(tag.to_string(), "a\\tb\\n\\xff");
    assert_eq!(tag.to_str(), None);
    assert!(HoldTag::try_from("").is_err());
    assert!(HoldTag::try_from("a\0").is_err());
    assert!(HoldTag::try_from("a".repeat(255).as_str()).is_ok());
    assert!(HoldTag::try_from("a".repeat(256).as_str()).is_err());
}

#[test]
fn property_names_are_native_or_user() {
    for (name, user) in [
        ("compression", false),
        ("org.example:last-run_1", true),
        (":a", true),
        ("userquota@DOM\\joe", false),
        ("written@daily:1", false),
        ("written#mark", false),
        ("-a:b", true),
    ] {
        assert_eq!(PropertyName::try_from(name).unwrap().is_user(), user, "{name}");
    }
    for name in ["", "Compression", "a b", "a=b", "a:b+c", "a:B", "a\n", "@x", "userquota@", "userquota@a\n"]
    {
        assert!(PropertyName::try_from(name).is_err(), "{name:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in "\\PC{0,300}") {
        if let Ok(name) = DatasetName::try_from(text.as_str()) {
            prop_assert_eq!(name.as_str(), &text);
        }
        let _ = SnapshotName::try_from(text.as_str());
        let _ = BookmarkName::try_from(text.as_str());
        let _ = PropertyName::try_from(text.as_str());
        let _ = HoldTag::try_from(text.as_str());
    }

    #[test]
    fn names_near_the_grammar_agree_with_a_plain_restatement_of_it(text in "[a-b./@#% -]{0,12}") {
        let components: Vec<&str> = text.split('/').collect();
        let plain = components.iter().all(|part| {
            !part.is_empty() && *part != "." && *part != ".."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.: ".contains(c))
        }) && text.starts_with(|c: char| c.is_ascii_alphabetic());
        prop_assert_eq!(DatasetName::try_from(text.as_str()).is_ok(), plain);
    }

    #[test]
    fn taking_a_name_apart_and_joining_it_again_gives_the_same(
        parts in proptest::collection::vec("[A-Za-z][A-Za-z0-9_.: -]{0,6}", 1..6),
        short in "[a-z0-9:_-]{1,8}",
    ) {
        let text = parts.join("/");
        prop_assume!(!["mirror", "raidz", "draid"].contains(&parts[0].as_str()));
        let name = DatasetName::try_from(text.as_str()).unwrap();
        prop_assert_eq!(name.depth(), parts.len());
        prop_assert_eq!(name.pool(), &parts[0]);
        if let Some(parent) = name.parent() {
            prop_assert_eq!(parent.child(name.last()).unwrap(), name.clone());
        }
        let snapshot = name.snapshot(&short).unwrap();
        prop_assert_eq!(SnapshotName::try_from(snapshot.as_str()).unwrap(), snapshot.clone());
        prop_assert_eq!(snapshot.short(), &short);
        prop_assert_eq!(snapshot.dataset(), &name);
    }
}
