//! What chains of certificates give, and what they withhold.

mod agreement;
mod bounds;

use super::*;
use crate::value::parse_json;
use sedge_identity::{AppId, CertificateKind, DeviceKey, Permissions, Rights, Serial, Validity};
use std::collections::BTreeMap;

/// The rights to documents of `c` that satisfy one of the rules.
fn rights(rules: &[&str]) -> Rights {
    let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    Rights::Collections([("c".to_owned(), rules)].into())
}

fn request(name: &str, read: Rights, write: Rights, claims: &[(&str, &str)]) -> CertificateRequest {
    let claims = claims.iter();
    CertificateRequest {
        subject: DeviceKey::from_seed([7; 32]).public(),
        name: name.to_owned(),
        user_id: None,
        kind: CertificateKind::Device,
        validity: Validity::Unlimited,
        permissions: Permissions { read, write },
        claims: claims
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        critical: Vec::new(),
        extra: Vec::new(),
    }
}

/// What is signed for a request.
fn certificate(request: CertificateRequest) -> Certificate {
    Certificate {
        serial: Serial([1; 16]),
        app: AppId::new("demo").unwrap(),
        subject: request.subject,
        name: request.name,
        user_id: request.user_id,
        kind: request.kind,
        not_before_ms: 0,
        not_after_ms: 1,
        issuer: DeviceKey::from_seed([8; 32]).public().id(),
        permissions: request.permissions,
        claims: request.claims,
        critical: request.critical,
        extra: request.extra,
    }
}

fn writer(rules: &[&str], claims: &[(&str, &str)]) -> Certificate {
    certificate(request("till-1", Rights::nothing(), rights(rules), claims))
}

fn reader(rules: &[&str]) -> Certificate {
    let claims = [("shop", "berlin")];
    certificate(request("till-1", rights(rules), Rights::nothing(), &claims))
}

fn access(chain: &[Certificate]) -> Access {
    Access::of(chain.iter()).unwrap()
}

fn id(json: &str) -> DocumentId {
    DocumentId::new(&parse_json(json).unwrap()).unwrap()
}

/// Whether the rule lets the device of shop berlin write the document.
fn writes(rule: &str, json: &str) -> bool {
    let access = access(&[writer(&[rule], &[("shop", "berlin")])]);
    access.may_write("c", &id(json)).is_ok()
}

/// Goal: what a rule for writing decides is pinned, because every peer must decide alike, whichever version it runs: over
/// plain and composite ids, with NULL, MISSING, errors and each kind of operator.
#[test]
fn write_rules_decide_as_ever() {
    let composite = r#"{"n":[1,2.5,1e21,-7],"shop":"berlin","sub":{"x":null,"y":true}}"#;
    for (rule, json, expected) in [
        ("true", "\"x\"", true),
        ("false", "\"x\"", false),
        ("NULL", "\"x\"", false),
        ("_id = 'x'", "\"x\"", true),
        ("_id == 'x'", "\"y\"", false),
        ("_id = 'x'", composite, false),
        ("_id <> 'x'", composite, true),
        ("_id = {'shop': 'berlin'}", r#"{"shop":"berlin"}"#, true),
        ("_id.shop = :shop", composite, true),
        ("_id.shop = :shop", r#"{"shop":"paris"}"#, false),
        ("_id.shop = :shop", "\"berlin\"", false),
        ("_id.shop = :shop", r#"{"n":1}"#, false),
        ("NOT _id.shop = :shop", r#"{"n":1}"#, false),
        ("_id.shop = :shop OR _id.n = 1", r#"{"n":1}"#, true),
        ("_id.shop IS MISSING", "\"x\"", true),
        ("_id.sub.x IS NULL", composite, true),
        ("_id.sub.x IS NULL", "\"x\"", false),
        ("_id.sub.x = NULL", composite, false),
        ("_id.sub.y", composite, true),
        ("_id.sub.x", composite, false),
        ("_id.shop", composite, false),
        ("_id.n[0] + _id.n[1] = 3.5", composite, true),
        ("_id.n[0] / 0 = 1", composite, false),
        ("9223372036854775807 + _id.n[0] > 0", composite, false),
        ("_id.shop LIKE 'ber%'", composite, true),
        ("_id.shop LIKE 5", composite, false),
        ("_id LIKE :shop || '-%'", "\"berlin-7\"", true),
        ("SUBSTR(_id, 1, LENGTH(:shop)) = :shop", "\"berlin7\"", true),
        ("SUBSTR(_id, 1, -1) = ''", "\"berlin7\"", false),
        ("_id IN ('a', :shop, 'c')", "\"berlin\"", true),
        ("_id NOT IN ('a', NULL)", "\"berlin\"", false),
        ("_id.n[3] BETWEEN -8 AND ABS(-1)", composite, true),
        ("'' || _id.n[1] || _id.n[2] = '2.51e+21'", composite, true),
        ("ROUND(_id.n[1]) = 3 AND -_id.n[3] % 4 = 3", composite, true),
        ("COALESCE(_id.sub.x, _id.shop) = 'berlin'", composite, true),
        ("CASE _id.shop WHEN :shop THEN true END", composite, true),
        ("LENGTH(CONFLICTS(_id)) = 1", composite, true),
        ("{'$bytes': _id} = 1", "\"?\"", false),
    ] {
        assert_eq!(writes(rule, json), expected, "{rule} on {json}");
    }
}

/// Goal: a rule that is none, or looks beyond its scope, gives nothing and takes nothing away from the others; the refusal
/// says why.
#[test]
fn a_wrong_rule_gives_nothing_alone() {
    for wrong in [
        "",
        "_id =",
        "true; true",
        "year > 5",
        "true OR year > 5",
        ":shop = 'berlin'",
        "COUNT(*) > 1",
        "1 + 1",
        "UPPER(_id) = 'X'",
    ] {
        let alone = access(&[writer(&[wrong], &[])]);
        let denied = alone.may_write("c", &id("\"x\"")).unwrap_err().to_string();
        assert!(denied.contains("which gives nothing"), "{wrong}: {denied}");
        for rules in [[wrong, "_id = 'x'"], ["_id = 'x'", wrong]] {
            let beside = access(&[writer(&rules, &[])]);
            assert_eq!(beside.may_write("c", &id("\"x\"")), Ok(()), "{wrong}");
            assert!(beside.may_write("c", &id("\"y\"")).is_err(), "{wrong}");
        }
    }
    let nested = format!("{}true", "NOT ".repeat(5_000));
    assert!(!writes(&nested, "\"x\""));
}

/// Goal: rules name the claims of the certificate they stand in, and its own fields under names that no claim can take.
#[test]
fn rules_speak_of_their_own_certificate() {
    let shop = |name: &str, shop| {
        let claims = [("shop", shop), ("_name", "forged")];
        let mut certificate = writer(&["_id.shop = :shop OR _id.till = :_name"], &claims);
        certificate.name = name.to_owned();
        certificate
    };
    let (berlin, paris) = (r#"{"shop":"berlin"}"#, r#"{"shop":"paris"}"#);
    let alone = access(&[shop("a", "berlin")]);
    assert!(alone.may_write("c", &id(berlin)).is_ok());
    assert!(alone.may_write("c", &id(paris)).is_err());
    assert!(alone.may_write("c", &id(r#"{"till":"a"}"#)).is_ok());
    assert!(alone.may_write("c", &id(r#"{"till":"forged"}"#)).is_err());
    let reserved = access(&[writer(&["_id = :_x"], &[("_x", "x")])]);
    assert!(reserved.may_write("c", &id("\"x\"")).is_err());
    let both = access(&[shop("a", "berlin"), shop("b", "paris")]);
    for json in [berlin, paris] {
        assert!(both.may_write("c", &id(json)).is_err());
    }
    let of_both = r#"{"shop":"berlin","till":"b"}"#;
    assert!(both.may_write("c", &id(of_both)).is_ok());

    let key = DeviceKey::from_seed([7; 32]).public();
    let mut own = writer(&["_id.key = :_subject AND _id.user = :_userId"], &[]);
    let json = format!(r#"{{"key":"{key}","user":"ann"}}"#);
    assert!(access(&[own.clone()]).may_write("c", &id(&json)).is_err());
    own.user_id = Some("ann".to_owned());
    assert!(access(&[own]).may_write("c", &id(&json)).is_ok());
}

/// Goal: before a certificate is signed, each rule that would give nothing is refused with its place, and so is a claim that
/// rules could not name.
#[test]
fn what_would_give_nothing_is_not_signed() {
    let asked = |read, write, claims: &[(&str, &str)]| {
        check_permissions(&request("till-1", read, write, claims))
    };
    let claims = [("shop", "berlin")];
    let good = rights(&["_id.shop = :shop", "_id.till = :_name"]);
    assert_eq!(asked(rights(&["km > 5"]), good, &claims), Ok(()));
    assert_eq!(asked(Rights::Everything, Rights::Everything, &[]), Ok(()));
    let error = asked(Rights::Everything, rights(&["true", "km > 5"]), &claims).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("\"km > 5\" to write collection \"c\": line 1, column 1"),
        "{told}"
    );
    let error = asked(
        rights(&["_id.user = :_userId"]),
        Rights::Everything,
        &claims,
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("no claim \"_userId\"")
    );
    let error = asked(Rights::Everything, Rights::Everything, &[("_x", "")]).unwrap_err();
    assert_eq!(error, RightsError::ReservedClaim("_x".to_owned()));
}

/// Goal: a refusal names the document, the certificate that withholds it and its rules, and what to do.
#[test]
fn a_refusal_says_which_rule() {
    let mut issuer = writer(&["_id = 'a'", "_id = 'b'", "_id = 'c'", "_id = 'd'"], &[]);
    issuer.name = "Berlin".to_owned();
    issuer.kind = CertificateKind::Issuer;
    let chain = access(&[
        writer(&["_id.shop = :shop OR _id = 'e'"], &[("shop", "x")]),
        issuer,
    ]);
    let told = |collection: &str, json: &str| {
        let denied = chain.may_write(collection, &id(json)).unwrap_err();
        assert_eq!(denied.direction, Direction::Write);
        denied.to_string()
    };
    assert_eq!(
        told("c", "\"y\""),
        "no right to write document \"y\" of collection \"c\": the certificate of the device \"till-1\" asks for \
         _id.shop = :shop OR _id = 'e'; have one issued that gives it, then: sedge cert install FILE"
    );
    assert!(told("c", "\"e\"").contains(
        "the issuer \"Berlin\" asks for one of _id = 'a' | _id = 'b' | _id = 'c' | and 1 more;"
    ));
    assert!(told("d", "\"e\"").contains("\"till-1\" gives no right to this collection;"));
}

/// Goal: nothing is asked of a chain that gives everything, and only what every certificate plainly gives counts as all.
#[test]
fn what_is_plain_to_see_is_not_evaluated() {
    let everything = certificate(request("a", Rights::Everything, Rights::Everything, &[]));
    let root = access(&[everything.clone(), everything.clone()]);
    assert!(root.reads_everything() && root.writes_everything() && root.reads_all_of("any"));
    assert_eq!(root.may_write("any", &id("\"x\"")), Ok(()));
    assert!(root.may_read("any", &Value::Null) && root.may_read_encoded("any", &[]));

    let all = access(&[everything.clone(), reader(&["year > 5", "true"])]);
    assert!(all.reads_all_of("c") && !all.reads_all_of("d") && !all.reads_everything());
    assert!(!all.writes_everything());
    let some = access(&[reader(&["true"]), reader(&["year > 5"]), everything]);
    assert!(!some.reads_all_of("c"));
    assert!(some.may_read("c", &parse_json(r#"{"year":6}"#).unwrap()));
    assert!(!some.may_read("d", &parse_json(r#"{"year":6}"#).unwrap()));
}

/// Goal: no certificate is no right, and a chain is bounded.
#[test]
fn chains_are_counted() {
    let certificate = writer(&["true"], &[]);
    let many = |count| std::iter::repeat_n(&certificate, count);
    assert_eq!(Access::of(many(0)).unwrap_err(), RightsError::NoCertificate);
    assert!(Access::of(many(CHAIN_CERTIFICATES_MAX + 1)).is_ok());
    let error = Access::of(many(CHAIN_CERTIFICATES_MAX + 2)).unwrap_err();
    assert_eq!(error, RightsError::TooManyCertificates);
    let none = BTreeMap::new();
    let closed = certificate_without(Rights::Collections(none));
    assert!(access(&[closed]).may_write("c", &id("\"x\"")).is_err());
}

fn certificate_without(write: Rights) -> Certificate {
    certificate(request("till-1", Rights::nothing(), write, &[]))
}
