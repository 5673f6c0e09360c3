//! Values in binary form, read where they lie as a scan does: of what decodes as a whole, every member and item is the
//! same by both ways. Of anything else some answer or an error comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::Value;
use sedge_crdt::fuzz::{InPlace, conflicts};
use sedge_fuzz::{Guarded, guarded};

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory that decoding may take beside a multiple of the input: lists reserve up to 1,024 places at each level.
const RESERVED_BYTES_MAX: usize = 16 << 20;

/// Bytes of memory per byte of input: a decoded value, and that of each level above it.
const BYTES_PER_BYTE_MAX: usize = 4 * 1024;

/// Names that are looked for beside those that are there.
const NAMES: [&str; 6] = ["", "_id", "a", "make", "\u{0}conflicts", "\u{10ffff}"];

fuzz_target!(|bytes: &[u8]| {
    guarded(
        RESERVED_BYTES_MAX + bytes.len() * BYTES_PER_BYTE_MAX,
        || {
            let in_place = InPlace::new(bytes);
            match Value::decode(bytes) {
                Ok(value) => {
                    let record = in_place.conflicts();
                    assert!(record == Ok(conflicts(&value)), "{value}: {record:?}");
                    compare(in_place, &value);
                }
                Err(_) => look(in_place, 3),
            }
        },
    );
});

fn compare(in_place: InPlace<'_>, value: &Value) {
    let decoded = in_place.value();
    assert!(decoded.as_ref() == Ok(value), "{value} is {decoded:?}");
    let is_plain = matches!(value, Value::String(_) | Value::Int(_));
    let expected = is_plain.then_some(true);
    assert!(in_place.is_plainly(value) == Ok(expected), "{value}");
    for name in NAMES {
        check_member(in_place, value, name);
    }
    match value {
        Value::Map(map) => {
            for (name, member) in map {
                let found = in_place.member(name);
                compare(found.ok().flatten().expect("the member is there"), member);
                let longer = format!("{name}\0");
                check_member(in_place, value, &longer);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let found = in_place.item(index);
                compare(found.ok().flatten().expect("the item is there"), item);
            }
            assert!(matches!(in_place.item(items.len()), Ok(None)));
        }
        _ => assert!(matches!(in_place.item(0), Ok(None))),
    }
}

fn check_member(in_place: InPlace<'_>, value: &Value, name: &str) {
    match (in_place.member(name), value.get(name)) {
        (Ok(None), None) | (Ok(Some(_)), Some(_)) => {}
        (found, expected) => panic!("{name:?} of {value} is {expected:?}, in place {found:?}"),
    }
}

/// Looks at what is no value as a whole.
fn look(in_place: InPlace<'_>, levels: usize) {
    let Some(below) = levels.checked_sub(1) else {
        return;
    };
    let errors = [
        in_place.value().err(),
        in_place.conflicts().err(),
        in_place.is_plainly(&Value::Null).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!(!error.to_string().is_empty());
    }
    for name in NAMES {
        if let Ok(Some(member)) = in_place.member(name) {
            look(member, below);
        }
    }
    for index in [0, 1, usize::MAX] {
        if let Ok(Some(item)) = in_place.item(index) {
            look(item, below);
        }
    }
}
