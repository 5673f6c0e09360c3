//! Writes the first inputs of every target into `corpus/`: real deltas, statements, values, frames, certificates and seals.
//!
//! ```sh
//! cargo run --release --example corpora
//! ```

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjType, ROOT};
use bytes::Bytes;
use prost::Message as _;
use sedge_crdt::fuzz::first_delta;
use sedge_crdt::{ChunkProof, Value, parse_json};
use sedge_fuzz::delta::{WireBirth, WireDelta};
use sedge_fuzz::fixtures::{
    CERTIFICATE_DOMAIN, CERTIFICATE_TYPE, NOW_MS, attachment, certified, document_id, documents,
    sealed,
};
use sedge_identity::{
    CertificateKind, CertificateRequest, Envelope, Issuer, MerkleHash, SignedCertificate, prove,
};
use sedge_mesh::limits::{ANSWER_BYTES_MAX, DELTA_BYTES_MAX, PART_EVIDENCE_BYTES_MAX};
use sedge_mesh::{
    Blob, BlobAnswer, BlobRequest, ChangeHash, Changes, ChangesLimits, Chunk, CloseCode,
    CollectionName, Cursor, DocumentKey, FeedId, FeedPage, FeedPosition, Hello, Interest,
    MemoryReplica, Message, NamedCertificate, Offered, PartLimits, Piece, Replica, Sequence,
    Wanted, encode_frame,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Largest committed input, in bytes: a repository is no place for more.
const INPUT_BYTES_MAX: usize = 4 << 10;

fn main() -> Outcome<()> {
    write("blob", blobs())?;
    write("certificate", certificates()?)?;
    write("change", programs())?;
    write("delta", deltas()?)?;
    write("frame", frames()?)?;
    write("in_place", in_place()?)?;
    write("json", texts())?;
    write("permissions", permissions())?;
    write("proof", proofs()?)?;
    write("record", records())?;
    write("seal", seals())?;
    write("sealed", tampering())?;
    write("statement", statements())?;
    write("value", values())
}

fn write(target: &str, inputs: Vec<(String, Vec<u8>)>) -> Outcome<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&folder)?;
    for (name, bytes) in inputs {
        if bytes.len() > INPUT_BYTES_MAX {
            return Err(format!("{target}/{name} has {} bytes", bytes.len()).into());
        }
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (name.to_owned(), bytes.into())
}

/// A certificate, the same with a byte changed, the payload of an issuer's above another one, its payload alone, and its text.
fn certificates() -> Outcome<Vec<(String, Vec<u8>)>> {
    let good = certified().certificate.as_bytes().to_vec();
    let mut forged = good.clone();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let opened = Envelope::open(&good, CERTIFICATE_DOMAIN, CERTIFICATE_TYPE, good.len())?;
    let payload = opened.payload().to_vec();
    Ok(vec![
        named("certificate", good),
        named("forged", forged),
        named("issuer", issuer_payload()?),
        named("payload", payload),
        named("text", certified().certificate.to_text()),
    ])
}

/// What a certificate says that makes the fixture's other issuer one.
fn issuer_payload() -> Outcome<Vec<u8>> {
    let fixture = certified();
    let request = CertificateRequest {
        kind: CertificateKind::Issuer,
        ..CertificateRequest::development(fixture.issuer, "site")
    };
    let issuer = Issuer::new(fixture.trust.app().clone(), fixture.root);
    let signed = issuer.issue(request, [5; 16], NOW_MS)?;
    let bytes = signed.as_bytes();
    let opened = Envelope::open(bytes, CERTIFICATE_DOMAIN, CERTIFICATE_TYPE, bytes.len())?;
    Ok(opened.payload().to_vec())
}

/// What the target `change` does to an honest history: nothing, a little, and much.
fn programs() -> Vec<(String, Vec<u8>)> {
    let count = |step: u8| move |n: u8| n.wrapping_mul(step);
    let bytes = |step: u8, length: u8| (0..length).map(count(step)).collect::<Vec<u8>>();
    vec![
        named("nothing", []),
        named("a_little", bytes(7, 12)),
        named("more", bytes(29, 40)),
        named("much", bytes(53, 120)),
    ]
}

/// What the target `sealed` does to honest documents: nothing, each thing once, and several things.
fn tampering() -> Vec<(String, Vec<u8>)> {
    let step = |what: u8| [what, what.wrapping_mul(3), what.wrapping_mul(7), 1];
    let mut inputs = vec![named("nothing", [])];
    inputs.extend((0..14).map(|what| named(&format!("step_{what:02}"), step(what))));
    inputs.push(named("several", [step(12), step(13), step(10)].concat()));
    inputs
}

/// Documents' first changes, changes that build on each other, a large compressed one, and one without its ancestor.
fn deltas() -> Outcome<Vec<(String, Vec<u8>)>> {
    let mut document = AutoCommit::new().with_actor(ActorId::from([5u8; 16]));
    document.put(ROOT, "name", "Thigpen")?;
    document.put(ROOT, "elevation", 351)?;
    document.put(ROOT, "latitude", 31.95)?;
    let place = document.put_object(ROOT, "place", ObjType::Map)?;
    document.put(&place, "city", "Bay Springs")?;
    let tags = document.put_object(ROOT, "tags", ObjType::List)?;
    document.insert(&tags, 0, true)?;
    document.insert(&tags, 1, ())?;
    let first = last_change(&mut document)?;
    document.put(ROOT, "elevation", 352)?;
    document.delete(ROOT, "name")?;
    document.delete(&tags, 0)?;
    let second = last_change(&mut document)?;
    let text = document.put_object(ROOT, "text", ObjType::Text)?;
    document.splice_text(&text, 0, 0, "grün")?;
    document.put(ROOT, "count", automerge::ScalarValue::counter(3))?;
    document.increment(ROOT, "count", 4)?;
    document.put(ROOT, "\u{0}deleted", true)?;
    let third = last_change(&mut document)?;
    for field in 0..100 {
        document.put(ROOT, format!("field {field}"), "value")?;
    }
    let compressed = last_change(&mut document)?;
    let all = [first.clone(), second.clone(), third.clone(), compressed];
    let first_change = |json| {
        let document = parse_json(json).ok()?;
        first_delta("c", &document_id(), &document)
    };
    let scalars = r#"{"name":"Thigpen","elevation":351,"latitude":31.95,"open":true,"at":{"$timestamp":"2026-11-23T12:00:00Z"}}"#;
    let maps = r#"{"place":{"city":"Bay Springs","geo":{"lat":31.95}},"owner":{"name":null},"seen":{"$counter":3}}"#;
    Ok(vec![
        named("scalars", first_change(scalars).ok_or("it can be written")?),
        named("maps", first_change(maps).ok_or("it can be written")?),
        named("one", delta(&[(0, "place")], std::slice::from_ref(&first))),
        named("two", delta(&[(0, "place")], &[first, second.clone()])),
        named("other_types", delta(&[], &all[..3])),
        named(
            "compressed",
            delta(&[(0, "place"), (0, "a"), (2, "b")], &all),
        ),
        named("without_ancestor", delta(&[], &[second])),
        named("births_only", delta(&[(0, "a"), (1, "b")], &[])),
    ])
}

fn last_change(document: &mut AutoCommit) -> Outcome<Vec<u8>> {
    document.commit();
    let change = document.get_last_local_change();
    Ok(change.ok_or("no change was made")?.bytes().into_owned())
}

fn delta(births: &[(u32, &str)], changes: &[Vec<u8>]) -> Vec<u8> {
    let birth = |(parent, key): &(u32, &str)| WireBirth {
        parent: *parent,
        key: (*key).to_owned(),
    };
    let delta = WireDelta {
        births: births.iter().map(birth).collect(),
        changes: changes.to_vec(),
    };
    delta.encode_to_vec()
}

/// Every message of a blob stream, and a neighbour that comes, tells that it has all, and gives two chunks.
fn blobs() -> Vec<(String, Vec<u8>)> {
    let (id, len) = ([1; 32], 9);
    let chunk = |index: u8| {
        let (bytes, proof) = (Bytes::from(vec![index]), Bytes::new());
        BlobAnswer::Chunk(index.into(), Chunk { bytes, proof })
    };
    let body = |frame: Bytes| frame[4..].to_vec();
    let given = [0, 1].map(|index| body(chunk(index).encode()));
    let given = given.map(|body| [&[16, body.len() as u8], &body[..]].concat());
    vec![
        named("ask", body(BlobRequest::Ask(Blob { id, len }).encode())),
        named("get", body(BlobRequest::Get(300).encode())),
        named(
            "held",
            body(BlobAnswer::Held(Bytes::from_static(&[255])).encode()),
        ),
        named("chunk", body(chunk(5).encode())),
        named("not_here", body(BlobAnswer::NotHere.encode())),
        named("fetch", [&[0, 0, 12, 0][..], &given.concat()].concat()),
    ]
}

/// Every message, and what a flooded message carries.
fn frames() -> Outcome<Vec<(String, Vec<u8>)>> {
    let collection = CollectionName::new("c")?;
    let document = DocumentKey::new(collection.clone(), Bytes::from_static(b"\"1\""))?;
    let names = BTreeSet::from([collection.clone()]);
    let feed = FeedId([7; 16]);
    let hello = |interest| {
        Message::Hello(Hello {
            feed: FeedPosition {
                id: feed,
                last: Sequence(9),
            },
            collections: names.clone(),
            interest,
        })
    };
    let heads = vec![ChangeHash([1; 32]), ChangeHash([2; 32])];
    let piece = Piece {
        document: document.clone(),
        payload: Bytes::from_static(b"payload"),
        more: true,
    };
    let up_to = Sequence(9);
    let mut inputs: Vec<(String, Vec<u8>)> = [
        ("hello_all", hello(Interest::Everything)),
        ("hello_some", hello(Interest::Collections(names.clone()))),
        (
            "follow",
            Message::Follow {
                feed: FeedId([1; 16]),
                after: Cursor::default(),
                comparison: None,
            },
        ),
        (
            "offer",
            Message::Offer(FeedPage {
                entries: vec![Offered {
                    document: document.clone(),
                    heads: heads.clone(),
                }],
                up_to,
            }),
        ),
        (
            "want",
            Message::Want {
                up_to,
                wants: vec![Wanted {
                    index: 0,
                    have_heads: heads,
                }],
                certificates_anew: true,
            },
        ),
        (
            "changes",
            Message::Changes(Changes {
                up_to,
                certificates: vec![NamedCertificate {
                    name: [3; 32],
                    bytes: Bytes::from_static(b"certificate"),
                }],
                seals: vec![Bytes::from_static(b"seal")],
                pieces: vec![piece],
                answered_below: Some(1),
            }),
        ),
        ("changes_proven", Message::Changes(proven(feed, &document)?)),
        ("ack", Message::Ack(Cursor::whole(up_to))),
        ("collections", Message::Collections(names)),
        ("close", Message::Close(CloseCode::Busy)),
        (
            "renewed",
            Message::Renewed(SignedCertificate::from_bytes(&[1])?.into()),
        ),
    ]
    .into_iter()
    .map(|(name, message)| named(name, &encode_frame(&message)[4..]))
    .collect();
    // `repeated Piece deltas = 1` with collection, document and payload, and `repeated bytes seals = 2`.
    inputs.push(named(
        "flood",
        *b"\x0a\x11\x0a\x01c\x12\x03\"1\"\x1a\x07payload\x12\x04seal",
    ));
    Ok(inputs)
}

/// A document's first change and what proves it to a replica in memory.
fn proven(feed: FeedId, document: &DocumentKey) -> Outcome<Changes> {
    let author = MemoryReplica::new(feed);
    author.write(vec![(document.clone(), Bytes::from_static(b"content"))]);
    let limits = ChangesLimits {
        answer_bytes_max: ANSWER_BYTES_MAX,
        part: PartLimits {
            delta_bytes_max: DELTA_BYTES_MAX,
            evidence_bytes_max: PART_EVIDENCE_BYTES_MAX,
        },
    };
    let bundle = author
        .changes(&[(document.clone(), Vec::new())], limits)?
        .bundle;
    let pieces = bundle.deltas.into_iter().map(|delta| Piece {
        document: delta.document,
        payload: delta.payload,
        more: false,
    });
    Ok(Changes {
        up_to: Sequence(9),
        certificates: bundle.certificates,
        seals: bundle.seals,
        pieces: pieces.collect(),
        answered_below: Some(1),
    })
}

/// Permissions with rules of every kind over the fixed documents, faulty and hard ones among them, and texts that are none.
fn permissions() -> Vec<(String, Vec<u8>)> {
    let hard = r#"{"read":{"queriesByCollection":{"c":["make||make||make||make LIKE '%a%a%a%a%b'","NOT (make||make) LIKE '%_%_%_%_b'"]}}}"#;
    [
        ("everything", r#"{"read":{"everything":true},"write":{"everything":true}}"#),
        (
            "ids",
            r#"{"write":{"queriesByCollection":{"c":["_id == '1'","_id.loc = :shop OR _id.n IN (1, 2)","_id = :_name AND :_userId LIKE 'a%'"]}}}"#,
        ),
        (
            "fields",
            r#"{"read":{"everything":false,"queriesByCollection":{"c":["km > 5 AND owner.name IS NOT NULL","LENGTH(CONFLICTS(make)) = 1","n + 1 < 0"],"d":["true"]}},"write":{"queriesByCollection":{"d":[]}}}"#,
        ),
        (
            "faulty",
            r#"{"write":{"queriesByCollection":{"c":["km > 5","_id =",":shap = 'x'","LOWER(_id) = '1'","COUNT(*) > 1","_id = '4'"]}}}"#,
        ),
        ("overflow", r#"{"read":{"queriesByCollection":{"c":["year + 1 < 0"]}}}"#),
        ("hard", hard),
        ("twice", r#"{"read":{"queriesByCollection":{"c":[],"c":["true"]}}}"#),
        ("misspelt", r#"{"reed":{"everything":true}}"#),
    ]
    .map(|(name, text)| named(name, text))
    .into()
}

/// Length, index and proof of the first, an inner and the last chunk, and one of a blob twice as long.
fn proofs() -> Outcome<Vec<(String, Vec<u8>)>> {
    let content = attachment();
    let input = |name, len: usize, index: u64| {
        let proof = ChunkProof::of(content, index).ok_or("there is no such chunk")?;
        let head = [(len as u64).to_le_bytes(), index.to_le_bytes()];
        Ok(named(name, [head.concat(), proof.encode()].concat()))
    };
    [
        ("first", content.len(), 0),
        ("inner", content.len(), 2),
        ("last", content.len(), 4),
        ("longer", 2 * content.len(), 2),
    ]
    .map(|(name, len, index)| input(name, len, index))
    .into_iter()
    .collect()
}

/// A seal, one with a byte changed, a leaf of three with the proof for it, and an honest proof with and without damage.
fn seals() -> Vec<(String, Vec<u8>)> {
    let good = sealed().seal.to_bytes().to_vec();
    let mut forged = good.clone();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let leaves = [1, 2, 3].map(|leaf| MerkleHash([leaf; 32]));
    let proof = prove(&leaves, &[1]).into_iter().flat_map(|hash| hash.0);
    let known = [&[3, 1, 1][..], &leaves[1].0].concat();
    let claim: Vec<u8> = known.into_iter().chain(proof).collect();
    let honest = [&[63][..], &[0x5a; 8]].concat();
    let damaged = [&honest[..], &[0; 40], &[1]].concat();
    vec![
        named("seal", good),
        named("forged", forged),
        named("claim", claim),
        named("honest", honest),
        named("damaged", damaged),
    ]
}

fn statements() -> Vec<(String, Vec<u8>)> {
    [
        (
            "where",
            "SELECT _id FROM c WHERE make = 'Saab' AND NOT year < 1990 OR owner.name IS \
             MISSING",
        ),
        (
            "group",
            "SELECT make, COUNT(*) AS n, SUM(km) / 2 AS s FROM c GROUP BY make HAVING \
             COUNT(DISTINCT year) >= 1 ORDER BY n DESC, make LIMIT 2 OFFSET 1",
        ),
        (
            "distinct",
            "SELECT DISTINCT upper(make) || '!' AS m, list[0].a FROM c WHERE tags IS NOT NULL \
             ORDER BY m;",
        ),
        (
            "predicates",
            "SELECT * FROM c WHERE km BETWEEN 1 AND 20.5 AND make LIKE 'gr_n !%%' ESCAPE '!' \
             OR year NOT IN (1980, :y) OR 'a' IN tags",
        ),
        (
            "case",
            "SELECT CASE make WHEN 'Saab' THEN 1 ELSE -km % 7 END AS x, CASE WHEN used THEN \
             [1, {'a': null}] END AS y, \"US Gross\" FROM `c`",
        ),
        (
            "functions",
            "SELECT round(f, 3) AS r, substr(make, 2, 3) AS s, coalesce(km, length(tags), \
             abs(-1)) AS c, trim(lower(empty)) AS t FROM c",
        ),
        (
            "insert",
            "INSERT INTO c DOCUMENTS (:xxx), ({'_id': {'a': 1}, 'b': [1.5e3, true]}) ON ID \
             CONFLICT DO UPDATE",
        ),
        (
            "update",
            "UPDATE c SET owner.name = make || ' x', year = year + 1 UNSET tags, empty WHERE \
             _id = '2'",
        ),
        (
            "apply",
            "UPDATE c APPLY n INCREMENT BY km % 3, m.n INCREMENT BY 1 SET t = {'$text': t || 'x'}, at = \
             {'$timestamp': '2026-11-23T12:00:00+01:00'} WHERE n > {'$counter': -9}",
        ),
        (
            "types",
            "SELECT CONFLICTS(t) AS c, {'$map': {'$map': {'$bytes': 'AP8='}, 'a': {'$map': b}}} AS m, length(b) AS l FROM c \
             WHERE length(CONFLICTS(owner.name)) >= 1 AND {'$bytes': :y} <> b",
        ),
        ("delete", "DELETE FROM c WHERE km > :a AND _id <> 'x'"),
        ("system", "SELECT * FROM system:x -- a comment\n LIMIT :n"),
        (
            "returning",
            "UPDATE c SET year = 1 WHERE make IN ('Saab', :a) AND used IS NOT MISSING LIMIT 2 RETURNING _id, year AS y",
        ),
        (
            "merge",
            "INSERT INTO c DOCUMENTS ({'_id': 'x', 'a': {'$attachment': :file}}) ON ID CONFLICT DO MERGE RETURNING *",
        ),
        ("misspelt", "SELECT * FORM c"),
    ]
    .map(|(name, text)| named(name, text))
    .into()
}

/// Texts with each typed form, with what looks like one, and with wrong ones.
fn texts() -> Vec<(String, Vec<u8>)> {
    [
        ("numbers", r#"[0,-0.0,1e308,-9223372036854775808,9223372036854775807,0.1,1E-7]"#),
        ("strings", r#"{"":"\u0000\ud83d\ude00","grün":"\\\"\/\b\f\n\r\t"}"#),
        (
            "typed",
            r#"{"a":{"$counter":5},"b":{"$text":"x"},"c":{"$bytes":"AP8="},"d":{"$timestamp":"2026-11-23T13:00:00.5+01:00"}}"#,
        ),
        (
            "attachment",
            r#"{"$attachment":{"id":"00000000000000000000000000000000000000000000000000000000000000ff","len":3,"metadata":{"a":"b"}}}"#,
        ),
        ("escaped", r#"{"$map":{"$map":{"$map":{"$text":{"$timestamp":-1}}}}}"#),
        ("far", r#"[{"$timestamp":9223372036854775807},{"$timestamp":"0000-01-01T00:00:00Z"}]"#),
        ("two_marks", r#"{"$text":"a","$counter":1}"#),
        ("wrong", r#"{"a":[{"$counter":"5"}]}"#),
        ("duplicate", r#"{"a":1,"a":2}"#),
        ("too_large", "[9223372036854775808]"),
    ]
    .map(|(name, text)| named(name, text))
    .into()
}

/// Keys of documents, ids alone, and records of state with one head and with two.
fn records() -> Vec<(String, Vec<u8>)> {
    let key = |id: &str| [&7u32.to_be_bytes()[..], id.as_bytes()].concat();
    // Own seq, chunks, sequence, first and last time.
    let numbers = [
        &1u64.to_le_bytes()[..],
        &2u32.to_le_bytes(),
        &3u64.to_le_bytes(),
        &1_750_000_000_000i64.to_le_bytes(),
        &1_750_000_000_001i64.to_le_bytes(),
    ]
    .concat();
    let state = |heads: usize| [&numbers[..], &vec![9; 32 * heads]].concat();
    vec![
        named("key", key("\"d1\"")),
        named("key_of_object", key(r#"{"loc":"x","n":[1,2.5,true,null]}"#)),
        named("id", "\"gr\u{fc}n \\u0001\""),
        named("id_of_object", r#"{"\u{1f600}":1e+21,"a":1e-7}"#),
        named("state", state(1)),
        named("state_of_two", state(2)),
    ]
}

/// A document as it is stored, one with a record of conflicts, and one that is cut off.
fn in_place() -> Outcome<Vec<(String, Vec<u8>)>> {
    let mut inputs = values();
    let record =
        r#"{"_id":"1","a":1,"\u0000conflicts":[[["a"],{"$bytes":"AwI="},{"$bytes":"AwQ="}]]}"#;
    let conflicts: Value = parse_json(record)?;
    inputs.push(named("conflicts", conflicts.encode()));
    let mut cut = conflicts.encode();
    cut.truncate(cut.len() - 2);
    inputs.push(named("cut", cut));
    Ok(inputs)
}

fn values() -> Vec<(String, Vec<u8>)> {
    let documents = documents().into_iter().enumerate();
    documents
        .map(|(index, document)| (format!("document_{index}"), document.encode()))
        .collect()
}
