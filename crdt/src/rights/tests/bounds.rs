//! Rules of a hostile or careless issuer: bounded, and with the same end everywhere.

use super::*;
use crate::limits::RULES_IN_PLACE_BYTES_MAX;
use sedge_identity::RIGHTS_QUERIES_MAX;

/// A condition that holds, and takes about (bytes of `text`) × `letters` steps to be found out.
fn hard(text: &str, letters: usize) -> String {
    format!("NOT {text} LIKE '%{}b'", "a".repeat(letters))
}

/// Goal: a rule that takes too many steps gives nothing, though it holds; one just as hard within them does.
#[test]
fn hard_rules_give_nothing() {
    let long = id(&format!("\"{}\"", "a".repeat(500)));
    let writes = |rule: &str| {
        access(&[writer(&[rule], &[])])
            .may_write("c", &long)
            .is_ok()
    };
    assert!(writes(&hard("_id", 100)));
    assert!(!writes(&hard("(_id || _id || _id)", 400)));

    let text = "a".repeat(1 << 20);
    let document = parse_json(&format!(r#"{{"_id":"x","text":"{text}"}}"#)).unwrap();
    let reads = |rule: &str| {
        let access = access(&[reader(&[rule])]);
        let gives = access.may_read("c", &document);
        assert_eq!(gives, access.may_read_encoded("c", &document.encode()));
        gives
    };
    assert!(reads("text LIKE '%a%a%'"));
    assert!(reads(&hard("text", 5)));
    assert!(!reads(&hard("text", 100)));
}

/// Goal: all rules of a certificate share their steps, so that many hard ones take no longer than one; a chain is as long as
/// it may be. Without the bound the test would take minutes. A wide document is read by many names of fields.
#[test]
fn many_hard_rules_are_bounded_together() {
    let text = "a".repeat(4 << 20);
    let document = parse_json(&format!(r#"{{"_id":"x","text":"{text}"}}"#)).unwrap();
    let rule = hard("text", 100);
    let copies = format!("LENGTH({}) > 0", vec!["text"; 1_000].join("||"));
    let equal = vec!["text = text"; 600].join(" AND ");
    for rule in [rule.as_str(), &copies, &equal] {
        let rules = vec![rule; RIGHTS_QUERIES_MAX];
        let access = access(&vec![reader(&rules); CHAIN_CERTIFICATES_MAX + 1]);
        assert!(!access.may_read("c", &document), "{rule}");
    }
    let many_fields = vec!["z IS MISSING AND a = 1"; 350].join(" AND ");
    let deep = access(&[reader(&[&many_fields])]);
    let filler: Vec<String> = (0..200_000)
        .map(|field| format!("\"f{field}\":1"))
        .collect();
    let wide = parse_json(&format!(r#"{{"_id":"x","a":1,{}}}"#, filler.join(","))).unwrap();
    assert!(wide.encode().len() > RULES_IN_PLACE_BYTES_MAX);
    assert!(deep.may_read_encoded("c", &wide.encode()));
}

/// Goal: a stored document costs the steps of a decoded one, though it is compared with less work where it lies, so that both
/// have the same answer at the limit.
#[test]
fn steps_are_counted_alike() {
    let filler = "a".repeat(RULES_IN_PLACE_BYTES_MAX - 100);
    let document = parse_json(&format!(r#"{{"_id":"x","t":"{filler}"}}"#)).unwrap();
    let encoded = document.encode();
    assert!(encoded.len() <= RULES_IN_PLACE_BYTES_MAX);
    for (times, expected) in [(1_000, true), (5_000, false)] {
        let access = access(&[reader(&[&vec!["t<>'b'"; times].join(" AND ")])]);
        assert_eq!(access.may_read("c", &document), expected, "{times}");
        assert_eq!(access.may_read_encoded("c", &encoded), expected, "{times}");
    }
}

/// Goal: a rule is found out in the order of the certificate, so that one behind a hard one may have no steps left; one that
/// plainly gives all needs none.
#[test]
fn steps_are_taken_in_order() {
    let long = id(&format!("\"{}\"", "a".repeat(500)));
    let hard = hard("(_id || _id || _id)", 400);
    let gives = |rules: &[&str]| access(&[writer(rules, &[])]).may_write("c", &long).is_ok();
    assert!(gives(&["_id LIKE 'a%'", &hard]));
    assert!(!gives(&[&hard, "_id LIKE 'a%'"]));
    assert!(gives(&[&hard, "true"]));
    let chain = [
        writer(&["_id LIKE 'a%'"], &[]),
        writer(&["_id LIKE '%a'"], &[]),
    ];
    assert!(access(&chain).may_write("c", &long).is_ok());
}

/// Goal: rules beyond those that a certificate may have are not compiled.
#[test]
fn rules_are_counted() {
    let mut rules = vec!["_id = 'x'"; RIGHTS_QUERIES_MAX];
    rules.push("_id = 'y'");
    let access = access(&[writer(&rules, &[])]);
    assert!(access.may_write("c", &id("\"x\"")).is_ok());
    let denied = access.may_write("c", &id("\"y\"")).unwrap_err();
    assert_eq!(denied.rules.len(), RIGHTS_QUERIES_MAX);
    assert!(denied.to_string().len() < 2_000);
}
