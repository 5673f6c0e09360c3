//! The fixed things that inputs are run against, and from which the first inputs of the corpora are made.

use sedge_crdt::{BLOB_CHUNK_BYTES, DocumentId, Value, parse_json};
use sedge_identity::{
    AppId, CertificateRequest, DeviceKey, Incarnation, Issuer, PublicKey, Seal, SealTerms,
    SignedCertificate, Trust, leaf,
};
use std::sync::LazyLock;

/// When certificates are looked at, in ms since the Unix epoch: in 2025.
pub const NOW_MS: u64 = 1_750_000_000_000;

/// Where a certificate's signature counts; the crate keeps the word to itself, so it is repeated here.
pub const CERTIFICATE_DOMAIN: &str = "sedge-certificate";

/// What a certificate's envelope says it holds.
pub const CERTIFICATE_TYPE: &str = "/sedge/certificate";

/// The documents that statements run over: one per line, of every type, nested, and with fields that only some have.
const DOCUMENTS: &str = r#"{"_id":"1","make":"Saab","year":1990,"km":10,"tags":["a","b",["c"]],"used":true}
{"_id":"2","make":"Volvo","year":1980,"km":20.5,"owner":{"name":"Ann","age":41},"US Gross":9007199254740993}
{"_id":{"loc":"x","n":1},"make":"Saab","year":null,"tags":[],"owner":{}}
{"_id":"4","make":"grün % _ '","km":-9223372036854775808,"year":9223372036854775807,"f":1.7e308}
{"_id":"5","list":[{"a":1},{"a":{"b":[null,false,0.1]}}],"empty":"","":{"":1}}
{"_id":"6","n":{"$counter":-5},"t":{"$text":"grün"},"b":{"$bytes":"AP8="},"at":{"$timestamp":"2026-11-23T12:00:00Z"},"odd":{"$map":{"$text":{"$timestamp":9223372036854775807}}},"file":{"$attachment":{"id":"00000000000000000000000000000000000000000000000000000000000000ff","len":3,"metadata":{"a":"b"}}}}"#;

/// The documents that statements run over.
///
/// # Panics
/// Never: the text is fixed.
pub fn documents() -> Vec<Value> {
    let parse = |line| parse_json(line).expect("the documents are JSON");
    DOCUMENTS.lines().map(parse).collect()
}

/// The id under which a delta is applied.
///
/// # Panics
/// Never: the id is fixed.
pub fn document_id() -> DocumentId {
    DocumentId::new(&Value::from("fuzz")).expect("the id is a string")
}

/// An issuer, whom it trusts, a device, and the device's certificate.
pub struct Certified {
    /// The issuer's key, which also signs what is no certificate yet.
    pub root: DeviceKey,
    /// Trust in that issuer.
    pub trust: Trust,
    /// The device.
    pub subject: PublicKey,
    /// The one certificate that verifies.
    pub certificate: SignedCertificate,
    /// The device's certificate by an issuer that the root has not certified yet.
    pub below: SignedCertificate,
    /// That issuer.
    pub issuer: PublicKey,
}

/// The fixture of the certificate target.
///
/// # Panics
/// Never: every part is fixed.
pub fn certified() -> Certified {
    let app = AppId::new("fuzz").expect("the app's id is short");
    let root = DeviceKey::from_seed([1; 32]);
    let subject = DeviceKey::from_seed([2; 32]).public();
    let trust = Trust::new(app.clone(), &[root.public()]).expect("there is one root");
    let request = CertificateRequest::development(subject, "pi");
    let issuer = Issuer::new(app.clone(), DeviceKey::from_seed([4; 32]));
    let below = issuer.issue(request.clone(), [3; 16], NOW_MS);
    let certificate = Issuer::new(app, root.clone()).issue(request, [3; 16], NOW_MS);
    Certified {
        root,
        trust,
        subject,
        certificate: certificate.expect("the request is within limits"),
        below: below.expect("the request is within limits"),
        issuer: issuer.public(),
    }
}

/// The collection of the seal.
pub const SEALED_COLLECTION: &str = "c";

/// A device and its seal over three changes.
pub struct Sealed {
    /// The app in which it counts.
    pub app: AppId,
    /// The device.
    pub key: DeviceKey,
    /// The one seal that holds.
    pub seal: Seal,
}

/// The fixture of the seal target.
///
/// # Panics
/// Never: every part is fixed.
pub fn sealed() -> Sealed {
    let app = AppId::new("fuzz").expect("the app's id is short");
    let key = DeviceKey::from_seed([2; 32]);
    let terms = SealTerms {
        app: &app,
        collection: SEALED_COLLECTION,
        certificate: certified().certificate.name(),
        incarnation: Incarnation([6; 8]),
        time_ms: NOW_MS,
    };
    let leaves = [1, 2, 3].map(|change| leaf(b"\"1\"", &[change; 32]));
    let seal = Seal::sign(&key, terms, &leaves).expect("there are three");
    Sealed { app, key, seal }
}

/// An attachment of several chunks, of which no two are equal.
pub fn attachment() -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let bytes = 4 * BLOB_CHUNK_BYTES + 5;
        (0..bytes).map(|at| (at / 251 + at) as u8).collect()
    });
    &CONTENT
}
