//! The form is pinned and canonical, and what is read in place is what decoding gives.

use super::*;
use crate::value::{Attachment, arbitrary};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Goal: the stored form is pinned; a change of it is a change of the store's format.
#[test]
fn exact_bytes_are_pinned() {
    let value = Value::Map(BTreeMap::from([
        ("a".into(), Value::Int(-3)),
        (
            "b".into(),
            Value::List(vec![Value::Null, Value::Bool(true), "x".into()]),
        ),
        ("c".into(), Value::Float(1.5)),
        ("d".into(), Value::Bytes(vec![0, 255])),
        ("e".into(), Value::Timestamp(-1)),
        ("f".into(), Value::Counter(2)),
        ("g".into(), Value::Text("x".into())),
        (
            "h".into(),
            Value::from(Attachment {
                id: [7; 32],
                len: 300,
                metadata: [("k".to_owned(), "v".to_owned())].into(),
            }),
        ),
    ]));
    let bytes = sedge_identity::hex(&value.encode()).to_string();
    assert_eq!(
        bytes,
        "070801610305016206030002050178016304000000000000f83f".to_owned()
            + "0164080200ff0165090101660a0401670b017801680c"
            + &"07".repeat(32)
            + "ac0201016b0176"
    );
}

/// Goal: equal values have equal bytes, and so equal digests, also when they are the two zeros.
#[test]
fn zero_has_no_sign() {
    let bytes = Value::Float(-0.0).encode();
    assert_eq!(bytes, Value::Float(0.0).encode());
    let negative = [&[FLOAT][..], &(-0.0_f64).to_le_bytes()].concat();
    assert_eq!(Value::decode(&negative), Err(DecodeError::Number));
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let mut bytes = [LIST, 1].repeat(DEPTH_MAX + 1);
    bytes.push(NULL);
    assert_eq!(Value::decode(&bytes), Err(DecodeError::Depth));
}

#[test]
fn unordered_keys_and_long_numbers_are_refused() {
    assert_eq!(
        Value::decode(&[MAP, 2, 1, b'b', NULL, 1, b'a', NULL]),
        Err(DecodeError::KeyOrder)
    );
    assert_eq!(Value::decode(&[INT, 0x80, 0x00]), Err(DecodeError::Number));
}

proptest! {
    /// Goal: what is read in place is what decoding gives, member by member and item by item.
    #[test]
    fn reading_in_place_agrees_with_decoding(value in arbitrary::value(), name in "[a-z]{1,6}", index in 0usize..6) {
        let bytes = value.encode();
        let encoded = Encoded::new(&bytes);
        prop_assert_eq!(encoded.value(), Ok(value.clone()));
        let plain = match &value {
            Value::String(text) => Some(Plain::Text(text.as_bytes())),
            Value::Int(number) => Some(Plain::Int(*number)),
            _ => None,
        };
        prop_assert_eq!(encoded.plain(), Ok(plain));
        let mut names = vec![name];
        names.extend(value.as_map().into_iter().flat_map(|map| map.keys().cloned()));
        for name in names {
            let member = encoded.member(&name).unwrap().map(|member| member.value().unwrap());
            prop_assert_eq!(member.as_ref(), value.get(&name));
        }
        let item = encoded.item(index).unwrap().map(|item| item.value().unwrap());
        let expected = match &value {
            Value::List(items) => items.get(index),
            _ => None,
        };
        prop_assert_eq!(item.as_ref(), expected);
    }

    /// Goal: every value survives the round trip, and no proper prefix of its bytes is a value.
    #[test]
    fn round_trips_and_refuses_truncation(value in arbitrary::value()) {
        let bytes = value.encode();
        prop_assert_eq!(Value::decode(&bytes), Ok(value));
        for end in 0..bytes.len() {
            prop_assert!(Value::decode(&bytes[..end]).is_err());
        }
    }

    /// Goal: the form is canonical: whatever decodes re-encodes to the same bytes, and nothing panics.
    #[test]
    fn whatever_decodes_is_canonical(bytes in prop::collection::vec(0u8..14, 0..60)) {
        if let Ok(value) = Value::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes);
        }
    }
}
