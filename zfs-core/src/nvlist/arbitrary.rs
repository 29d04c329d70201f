//! Strategies for property tests: any list that has an encoding. Needs the feature `proptest`.

use proptest::prelude::*;

use super::NvList;
use super::Value;

fn text() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..=255_u8, 0..12)
}

fn array<T: std::fmt::Debug + Arbitrary>() -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(any::<T>(), 0..6)
}

fn flat() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop_oneof![
            Just(Value::Boolean),
            any::<bool>().prop_map(Value::BooleanValue),
            any::<u8>().prop_map(Value::Byte),
            any::<i8>().prop_map(Value::Int8),
            any::<u8>().prop_map(Value::UInt8),
            any::<i16>().prop_map(Value::Int16),
            any::<u16>().prop_map(Value::UInt16),
            any::<i32>().prop_map(Value::Int32),
            any::<u32>().prop_map(Value::UInt32),
        ],
        prop_oneof![
            any::<i64>().prop_map(Value::Int64),
            any::<u64>().prop_map(Value::UInt64),
            any::<i64>().prop_map(Value::HrTime),
            any::<i64>().prop_map(|value| Value::Double(value as f64)),
            text().prop_map(Value::String),
            proptest::collection::vec(text(), 0..4).prop_map(Value::StringArray),
        ],
        prop_oneof![
            array().prop_map(Value::BooleanArray),
            array().prop_map(Value::ByteArray),
            array().prop_map(Value::Int8Array),
            array().prop_map(Value::UInt8Array),
            array().prop_map(Value::Int16Array),
            array().prop_map(Value::UInt16Array),
            array().prop_map(Value::Int32Array),
            array().prop_map(Value::UInt32Array),
            array().prop_map(Value::Int64Array),
            array().prop_map(Value::UInt64Array),
        ],
    ]
}

/// Any list, up to three levels deep, with every type of value; names and strings of any bytes but zero.
pub fn list() -> impl Strategy<Value = NvList> {
    let pairs = |value: BoxedStrategy<Value>| {
        proptest::collection::vec((text(), value), 0..6).prop_map(NvList::from_iter)
    };
    pairs(flat().boxed()).prop_recursive(3, 40, 4, move |inner| {
        let value = prop_oneof![
            flat(),
            inner.clone().prop_map(Value::List),
            proptest::collection::vec(inner, 0..3).prop_map(Value::ListArray),
        ];
        pairs(value.boxed())
    })
}
