//! Local writes are held to the device's rights, whatever makes them; what comes from others is not.

use super::*;
use sedge_crdt::{Access, Direction, Transaction};
use sedge_identity::{CertificateRequest, Issuer, Permissions, Rights, Trust, Validity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rights of a device that may write the cars of which a rule holds, and read everything.
fn access(rule: &str) -> Arc<Access> {
    let subject = DeviceKey::from_seed([1; 32]).public();
    let issuer = Issuer::new(AppId::new("demo").unwrap(), DeviceKey::from_seed([9; 32]));
    let rules = BTreeMap::from([("cars".to_owned(), vec![rule.to_owned()])]);
    let request = CertificateRequest {
        permissions: Permissions {
            read: Rights::Everything,
            write: Rights::Collections(rules),
        },
        claims: BTreeMap::from([("shop".to_owned(), "berlin".to_owned())]),
        validity: Validity::Unlimited,
        ..CertificateRequest::development(subject, "till-1")
    };
    let signed = issuer.issue(request, [1; 16], 0).unwrap();
    let trust = Trust::new(issuer.app().clone(), &[issuer.public()]).unwrap();
    let verified = trust.verify(&signed.into(), subject, 1).unwrap();
    Arc::new(Access::of(verified.along_chain()).unwrap())
}

const BERLIN: &str = "_id.shop = :shop";

fn car(shop: &str) -> String {
    format!(r#"{{"_id":{{"shop":"{shop}"}},"n":1}}"#)
}

/// A store with a car of each shop, of which the device may write berlin's.
fn limited(path: &Path) -> Store {
    let store = open(path, 1);
    insert(&store, &car("berlin"));
    insert(&store, &car("paris"));
    store.set_access(Some(access(BERLIN)));
    store
}

fn refused_by_rule(error: &StoreError) {
    let StoreError::NotPermitted(denied) = error else {
        panic!("{error}");
    };
    assert_eq!(
        (denied.direction, denied.collection.as_str()),
        (Direction::Write, "cars")
    );
    assert_eq!((&*denied.holder, denied.rules.len()), ("till-1", 1));
    assert_eq!(denied.rules[0].text, BERLIN);
    assert_eq!(denied.to_string(), error.to_string());
}

/// Goal: each kind of write is refused as a whole if it would change one document that the certificate does not give, and
/// nothing of it is there; what changes nothing, and what is given, is not refused.
#[test]
fn every_kind_of_write_is_held_to_the_rights() {
    let folder = tempfile::tempdir().unwrap();
    let store = limited(folder.path());
    let before = store.view().collections();
    let new = "{'_id': {'shop': 'berlin', 'n': 2}}";
    for statement in [
        "INSERT INTO cars DOCUMENTS ({'_id': 'x'})",
        &format!("INSERT INTO cars DOCUMENTS ({new}), ({{'_id': {{'shop': 'rome'}}}})"),
        "INSERT INTO cars DOCUMENTS ({})",
        "INSERT INTO cars DOCUMENTS ({'_id': {'shop': 'paris'}, 'n': 3}) ON ID CONFLICT DO UPDATE",
        "INSERT INTO cars DOCUMENTS ({'_id': {'shop': 'paris'}, 'n': 3}) ON ID CONFLICT DO MERGE",
        "UPDATE cars SET n = 2",
        "UPDATE cars SET n = 2 WHERE _id.shop = 'paris'",
        "UPDATE cars UNSET n WHERE _id.shop = 'paris'",
        "DELETE FROM cars",
        "DELETE FROM cars WHERE _id = {'shop': 'paris'}",
    ] {
        let error = store.execute(statement, &Params::new()).unwrap_err();
        refused_by_rule(&error);
    }
    let bikes = refused(&store, "INSERT INTO bikes DOCUMENTS ({'_id': 'x'})");
    assert!(bikes.contains("no right to this collection"), "{bikes}");
    assert_eq!(store.view().collections(), before);

    for (statement, changed) in [
        ("UPDATE cars SET n = 1", 0),
        (
            "INSERT INTO cars DOCUMENTS ({'_id': {'shop': 'paris'}}) ON ID CONFLICT DO NOTHING",
            0,
        ),
        ("DELETE FROM cars WHERE n = 7", 0),
        ("UPDATE cars SET n = 2 WHERE _id.shop = 'berlin'", 1),
        (&format!("INSERT INTO cars DOCUMENTS ({new})"), 1),
        ("DELETE FROM cars WHERE _id.n = 2", 1),
    ] {
        assert_eq!(
            execute(&store, statement).mutated.len(),
            changed,
            "{statement}"
        );
    }
    store.set_access(None);
    assert_eq!(execute(&store, "UPDATE cars SET n = 9").mutated.len(), 2);
}

/// Goal: a revert is held to the rights of what it changes, not of what it looks at.
#[test]
fn a_revert_is_held_to_the_rights() {
    let folder = tempfile::tempdir().unwrap();
    let store = limited(folder.path());
    let pause = || std::thread::sleep(Duration::from_millis(5));
    pause();
    let then = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let then = then.unwrap().as_millis();
    pause();
    store.set_access(None);
    execute(&store, "UPDATE cars SET n = 2");
    store.set_access(Some(access(BERLIN)));
    let revert = |filter| {
        let statement = format!("REVERT cars TO {then} WHERE {filter}");
        store.execute(&statement, &Params::new())
    };
    refused_by_rule(&revert("n = 1").unwrap_err());
    assert_eq!(revert("_id.shop = 'berlin'").unwrap().mutated.len(), 1);
    assert_eq!(
        rows(&store, "SELECT n FROM cars ORDER BY n"),
        [r#"{"n":1}"#, r#"{"n":2}"#]
    );
}

/// Goal: a transaction fails with its refused statement; an import answers for each document by itself, and passes over what
/// is unchanged.
#[test]
fn transactions_and_imports_are_held_to_the_rights() {
    let folder = tempfile::tempdir().unwrap();
    let store = limited(folder.path());
    let both = |transaction: &mut Transaction<'_>| {
        let run = |transaction: &mut Transaction<'_>, shop: &str| {
            let statement = format!("UPDATE cars SET n = 5 WHERE _id.shop = '{shop}'");
            transaction.execute(&statement, &Params::new())
        };
        run(transaction, "berlin")?;
        run(transaction, "paris")
    };
    refused_by_rule(&store.transaction(both).unwrap_err());
    assert!(rows(&store, "SELECT n FROM cars WHERE n = 5").is_empty());

    let documents = ["berlin", "paris", "rome"].map(|shop| parse_json(&car(shop)).unwrap());
    let rights_of_all = access("_id.shop IN ('berlin', 'rome')");
    let outcome = |store: &Store| {
        let imported = store.import("cars", &documents).unwrap();
        let told = imported.into_iter().map(|one| match one {
            Imported::Written => "written".to_owned(),
            Imported::Unchanged => "unchanged".to_owned(),
            Imported::Rejected(error) => {
                refused_by_rule(&error);
                "refused".to_owned()
            }
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(outcome(&store), ["unchanged", "unchanged", "refused"]);
    store.set_access(Some(rights_of_all));
    assert_eq!(outcome(&store), ["unchanged", "unchanged", "written"]);
}

/// Goal: what others wrote comes in, and leaves by EVICT, whatever this device may write.
#[test]
fn others_documents_come_and_are_evicted() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(one.path(), 2), open(two.path(), 1));
    b.set_access(Some(access("false")));
    insert(&a, &car("paris"));
    assert_eq!(replicate(&a, &b), 1);
    assert!(refused(&b, "UPDATE cars SET n = 2").contains("asks for false"));
    execute(&b, "EVICT FROM cars");
    assert!(rows(&b, "SELECT * FROM cars").is_empty());
}
