//! Both encodings against bytes written out by hand, against each other, and against noise.

use proptest::prelude::*;

use super::arbitrary::list;
use super::cursor::Order;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn decode(data: &[u8]) -> Result<NvList, NvError> {
    NvList::decode(data, &Limits::default())
}

#[test]
fn xdr_of_a_flag_and_a_number_is_as_the_layout_says() {
    let list = NvList::new().with("a", Value::Boolean).with("guid", 0x1122_3344_5566_7788_u64);
    let expected = hex("01010000 00000000 00000001 \
         00000018 00000018 00000001 61000000 00000001 00000000 \
         00000020 00000020 00000004 67756964 00000008 00000001 1122334455667788 \
         00000000 00000000");
    assert_eq!(list.encode_xdr().unwrap(), expected);
    assert_eq!(decode(&expected).unwrap(), list);
}

#[test]
fn native_of_a_list_in_a_list_is_as_the_layout_says() {
    let list = NvList::new().with("in", NvList::new().with("s", "hey"));
    let expected = hex("00010000 00000000 01000000 \
         30000000 0300 0000 01000000 13000000 696e000000000000 \
         00000000 01000000 0000000000000000 0000000000000000 \
         20000000 0200 0000 01000000 09000000 7300000000000000 6865790000000000 \
         00000000 00000000");
    assert_eq!(native::encode(&list, Order::Little).unwrap(), expected);
    assert_eq!(decode(&expected).unwrap(), list);
}

#[test]
fn typed_getters_take_only_their_type() {
    let list = NvList::new()
        .with("u", 1_u64)
        .with("i", -1_i32)
        .with("s", "text")
        .with("b", Value::string(b"\xff"))
        .with("l", NvList::new())
        .with("yes", true)
        .with("no", false)
        .with("there", Value::Boolean);
    assert_eq!((list.u64("u"), list.u64("i"), list.u64("none")), (Some(1), None, None));
    assert_eq!((list.i32("i"), list.i32("u")), (Some(-1), None));
    assert_eq!((list.str("s"), list.str("b"), list.bytes("b")), (Some("text"), None, Some(&b"\xff"[..])));
    assert!(list.list("l").is_some_and(NvList::is_empty) && list.list("u").is_none());
    assert_eq!(["yes", "no", "there", "none"].map(|name| list.flag(name)), [true, false, true, false]);
}

#[test]
fn inserting_again_replaces_in_place_in_short_and_long_lists() {
    for count in [3, 500_u64] {
        let mut list: NvList = (0..count).map(|at| (format!("n{at}"), at)).collect();
        list.insert("n1", 77_u64);
        assert_eq!((list.u64("n1"), list.len() as u64), (Some(77), count));
        assert_eq!(list.iter().nth(1).unwrap().0, b"n1");
        assert_eq!(list.remove("n0"), Some(Value::UInt64(0)));
        assert_eq!(list.remove("n0"), None);
        assert_eq!(list.u64("n2"), Some(2));
        list.insert("n0", 5_u64);
        assert_eq!(list.iter().last().unwrap(), (&b"n0"[..], &Value::UInt64(5)));
        assert_eq!(list.len() as u64, count);
    }
}

#[test]
fn a_name_twice_is_refused_in_both_encodings() {
    let one = NvList::new().with("a", 1_u64).with("b", 2_u64);
    for packed in [one.encode_xdr().unwrap(), one.encode_native().unwrap()] {
        let mut twice = packed.clone();
        let at = packed.iter().rposition(|byte| *byte == b'b').unwrap();
        twice[at] = b'a';
        assert_eq!(decode(&twice), Err(NvError::Duplicate { name: "a".into() }));
    }
}

#[test]
fn zero_bytes_never_reach_an_encoding() {
    for list in [
        NvList::new().with("a\0b", 1_u64),
        NvList::new().with("a", "tank\0"),
        NvList::new().with("a", Value::StringArray(vec![b"\0".to_vec()])),
    ] {
        assert!(matches!(list.encode_xdr(), Err(NvError::ZeroByte { .. })));
        assert!(matches!(list.encode_native(), Err(NvError::ZeroByte { .. })));
    }
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let nested = (0..10).fold(NvList::new(), |inner, _| NvList::new().with("n", inner));
    let long = NvList::new().with("a", Value::UInt64Array(vec![1; 100])).with("b", Value::Boolean);
    type Encode = fn(&NvList) -> Result<Vec<u8>, NvError>;
    for encode in [NvList::encode_xdr as Encode, NvList::encode_native as Encode] {
        let refused = |list: &NvList, limits: Limits| match NvList::decode(&encode(list).unwrap(), &limits) {
            Err(NvError::Limit { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&nested, Limits { depth: 10, ..Limits::default() }), "levels");
        assert_eq!(refused(&long, Limits { elements: 99, ..Limits::default() }), "elements");
        assert_eq!(refused(&long, Limits { pairs: 1, ..Limits::default() }), "pairs");
        assert_eq!(refused(&long, Limits::default().with_bytes(100)), "bytes");
        // Exactly at the limits it passes.
        let packed = encode(&nested).unwrap();
        let exact = Limits { depth: 11, pairs: 10, elements: 0, bytes: packed.len() };
        assert_eq!(NvList::decode(&packed, &exact).unwrap(), nested);
    }
}

#[test]
fn a_huge_count_in_a_tiny_list_is_cut_short_not_allocated() {
    let list = NvList::new().with("a", Value::UInt64Array(vec![7]));
    let mut packed = list.encode_xdr().unwrap();
    let at = packed.len() - 8 - 8 - 4;
    for at in [at, at - 4] {
        packed[at..at + 4].copy_from_slice(&0x00ff_0000_u32.to_be_bytes());
    }
    assert!(matches!(decode(&packed), Err(NvError::Truncated { .. })), "{:?}", decode(&packed));
}

#[test]
fn too_deep_lists_are_refused_while_encoding() {
    let deep = (0..30).fold(NvList::new(), |inner, _| NvList::new().with("n", inner));
    assert_eq!(deep.encode_xdr(), Err(NvError::TooDeep(20)));
    assert_eq!(deep.encode_native(), Err(NvError::TooDeep(20)));
}

#[test]
fn what_follows_the_end_must_be_zero() {
    let mut packed = NvList::new().with("a", 1_u64).encode_native().unwrap();
    packed.extend([0; 16]);
    assert!(decode(&packed).is_ok());
    packed.push(1);
    assert!(matches!(decode(&packed), Err(NvError::Trailing { count: 17, .. })));
}

#[test]
fn headers_of_other_things_are_named() {
    assert_eq!(decode(b"\x02\x01\0\0"), Err(NvError::Encoding(2)));
    assert_eq!(decode(b"\x00\x02\0\0"), Err(NvError::ByteOrder(2)));
    assert!(matches!(decode(b""), Err(NvError::Truncated { .. })));
    assert!(matches!(decode(b"\x01\x01\0\0\0\0\0\x01\0\0\0\0"), Err(NvError::Version { version: 1, .. })));
}

#[test]
fn lists_are_shown_escaped() {
    let list = NvList::new()
        .with("tank/a@b", 1_u64)
        .with("x\n", Value::string(b"\x1b[31m\xff"))
        .with("in", NvList::new().with("f", Value::Boolean));
    assert_eq!(format!("{list}"), "{tank/a@b: 1, \"x\\n\": \"\\x1b[31m\\xff\", in: {f: present}}");
}

proptest! {
    #[test]
    fn every_list_survives_every_encoding(list in list()) {
        prop_assert_eq!(&decode(&list.encode_xdr().unwrap()).unwrap(), &list);
        for order in [Order::Little, Order::Big] {
            let packed = native::encode(&list, order).unwrap();
            prop_assert_eq!(&decode(&packed).unwrap(), &list);
            let view = view::native(&packed, &Limits::default()).unwrap();
            prop_assert_eq!(&view.to_list().unwrap(), &list);
            let walked: Result<NvList, NvError> =
                view.map(|pair| pair.and_then(|pair| Ok((pair.name, pair.value()?)))).collect();
            prop_assert_eq!(&walked.unwrap(), &list);
        }
    }

    #[test]
    fn noise_is_refused_or_read_but_never_a_panic(
        mut data in proptest::collection::vec(any::<u8>(), 0..200),
        encoding in 0..2_u8, order in 0..2_u8,
    ) {
        if let [first, second, ..] = &mut *data {
            (*first, *second) = (encoding, order);
        }
        let _ = decode(&data);
        if let Ok(view) = view::native(&data, &Limits::default()) {
            view.for_each(|pair| { let _ = pair.map(|pair| pair.value()); });
        }
    }

    #[test]
    fn a_damaged_list_is_refused_or_read_but_never_a_panic(
        list in list(), at in any::<prop::sample::Index>(), byte in any::<u8>(), xdr in any::<bool>(),
    ) {
        let mut packed = if xdr { list.encode_xdr() } else { list.encode_native() }.unwrap();
        let at = at.index(packed.len());
        packed[at] = byte;
        let _ = decode(&packed);
        let cut = decode(&packed[..at]);
        // A prefix is a list only if nothing but padding was cut off.
        prop_assert!(cut.is_err() || packed[at + 1..].iter().all(|rest| *rest == 0));
    }

    #[test]
    fn view_and_tree_agree_on_damaged_lists(
        list in list(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut packed = list.encode_native().unwrap();
        let at = at.index(packed.len());
        packed[at] = byte;
        if let Ok(tree) = decode(&packed) {
            let view = view::native(&packed, &Limits::default()).unwrap();
            let walked: Result<NvList, NvError> =
                view.map(|pair| pair.and_then(|pair| Ok((pair.name, pair.value()?)))).collect();
            prop_assert_eq!(&walked.unwrap(), &tree);
        }
    }
}
