use proptest::prelude::*;

use super::*;

fn token() -> ResumeToken {
    ResumeToken {
        to_name: "tank/a b@2026-11-22".parse().unwrap(),
        to_guid: Guid(0x1234_5678_9abc_def0),
        from_guid: Some(Guid(7)),
        object: 12,
        offset: 131_072,
        bytes: 99,
        large_blocks: true,
        embedded: false,
        compressed: true,
        raw: false,
        redact_snaps: None,
        from_redact_snaps: None,
        unknown: Vec::new(),
    }
}

fn parse(text: &str) -> Result<ResumeToken, TokenError> {
    text.parse()
}

/// A token around any list.
fn made(list: &NvList) -> String {
    let packed = list.encode_native().unwrap();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&packed).unwrap();
    let data = encoder.finish().unwrap();
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("1-{:x}-{:x}-{hex}", first_word(&data, ByteOrder::Little), packed.len())
}

#[test]
fn encoded_tokens_read_as_they_were() {
    assert_eq!(parse(&token().encode()), Ok(token()));
    let other = ResumeToken {
        from_guid: None,
        raw: true,
        redact_snaps: Some(vec![1, 2]),
        from_redact_snaps: Some(vec![3]),
        ..token()
    };
    assert_eq!(parse(&other.encode()), Ok(other));
}

#[test]
fn people_see_what_a_token_says() {
    assert_eq!(
        token().to_string(),
        "tank/a b@2026-11-22 (guid 1311768467463790320) from guid 7 at object 12 offset 131072, \
         99 bytes received, compressed, large blocks"
    );
}

#[test]
fn each_kind_of_damage_is_named() {
    let good = token().encode();
    let fields: Vec<&str> = good.split('-').collect();
    let with = |at: usize, field: &str| {
        let mut fields = fields.clone();
        fields[at] = field;
        parse(&fields.join("-"))
    };
    assert_eq!(parse(""), Err(TokenError::Form));
    assert_eq!(parse("1-2-3"), Err(TokenError::Form));
    assert_eq!(with(0, "2"), Err(TokenError::Version("2".into())));
    assert_eq!(with(1, "xyz"), Err(TokenError::Hex { field: "checksum" }));
    assert_eq!(with(1, "+1"), Err(TokenError::Hex { field: "checksum" }));
    assert_eq!(with(1, "1"), Err(TokenError::Checksum { stated: 1 }));
    assert_eq!(with(2, "11112222333344445"), Err(TokenError::Hex { field: "size" }));
    assert_eq!(with(2, "10001"), Err(TokenError::TooLarge { size: 65_537, max: 65_536 }));
    assert_eq!(with(2, "8"), Err(TokenError::Compression { size: 8 }));
    assert_eq!(with(2, "ffff"), Err(TokenError::Compression { size: 65_535 }));
    assert_eq!(with(3, "7zz"), Err(TokenError::Hex { field: "data" }));
    assert!(matches!(with(3, &fields[3][..60]), Err(TokenError::Checksum { .. })));
    // A zero word more changes no checksum, but it is no part of the zlib stream.
    assert!(matches!(
        parse(&format!("{good}00000000")),
        Err(TokenError::Compression { .. } | TokenError::Checksum { .. })
    ));
    assert!(matches!(parse(&"1".repeat(200_000)), Err(TokenError::TooLong { length: 200_000, .. })));
}

#[test]
fn what_every_token_has_must_be_there_and_of_its_type() {
    let full = |skip: &str| {
        let all = ["toguid", "object", "offset", "bytes"].iter().map(|name| (*name, Value::UInt64(1)));
        let name = std::iter::once(("toname", Value::from("a@b")));
        NvList::from_iter(all.chain(name).filter(|(name, _)| *name != skip))
    };
    assert!(parse(&made(&full(""))).is_ok());
    for name in ["toguid", "object", "offset", "bytes", "toname"] {
        assert_eq!(parse(&made(&full(name))), Err(TokenError::Field(name)));
    }
    assert_eq!(parse(&made(&full("").with("fromguid", "1"))), Err(TokenError::Field("fromguid")));
    assert!(matches!(parse(&made(&full("").with("toname", "a\nb"))), Err(TokenError::Name(_))));
    let later = parse(&made(&full("").with("shiny\n", 1_u64))).unwrap();
    assert_eq!(later.unknown, ["shiny\\n"]);
}

#[test]
fn a_zip_bomb_stops_at_the_size_stated() {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 32 << 20]).unwrap();
    let data = encoder.finish().unwrap();
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("1-{:x}-100-{hex}", first_word(&data, ByteOrder::Little));
    assert_eq!(parse(&text), Err(TokenError::Compression { size: 256 }));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read_without_a_panic(text in "(1-[0-9a-f]{0,9}-[0-9a-f]{0,4}-)?\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_token_never_panics(at in any::<prop::sample::Index>(), byte in b' '..b'~') {
        let mut text = token().encode().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = parse(std::str::from_utf8(&text).unwrap());
    }
}
