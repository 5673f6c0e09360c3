//! Any bytes as permissions in JSON: what reads is written as text that reads as the same; compiled and evaluated on fixed
//! documents without a panic and within bounded work and memory, each question has one answer, and a chain gives what each
//! of its certificates gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_crdt::{
    Access, DocumentId, Value, check_permissions, permissions_from_json, permissions_to_json,
};
use sedge_fuzz::fixtures::{NOW_MS, certified, documents};
use sedge_fuzz::{Guarded, guarded};
use sedge_identity::{Certificate, CertificateRequest, Issuer, Permissions, Rights};
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// Memory the rules of a certificate may take: the values that one rule builds of a document, and themselves.
const BYTES_MAX: usize = 128 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let fixture = fixture();
    guarded(BYTES_MAX, || {
        if let Ok(permissions) = permissions_from_json(text) {
            let written = permissions_to_json(&permissions).to_string();
            assert!(permissions_from_json(&written).as_ref() == Ok(&permissions));
            compile(fixture, permissions);
        }
    });
});

/// Who issues to whom, and what is asked for.
struct Fixture {
    issuer: Issuer,
    request: CertificateRequest,
    documents: Vec<(DocumentId, Value)>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let certified = certified();
        let request = CertificateRequest {
            user_id: Some("ann".to_owned()),
            claims: [("shop".to_owned(), "berlin".to_owned())].into(),
            ..CertificateRequest::development(certified.subject, "pi")
        };
        let documents = documents().into_iter().filter_map(|document| {
            let id = DocumentId::new(document.get("_id")?).ok()?;
            Some((id, document))
        });
        Fixture {
            issuer: Issuer::new(certified.trust.app().clone(), certified.root),
            request,
            documents: documents.collect(),
        }
    })
}

fn compile(fixture: &Fixture, permissions: Permissions) {
    let request = CertificateRequest {
        permissions,
        ..fixture.request.clone()
    };
    let is_sound = check_permissions(&request).is_ok();
    let Ok(signed) = fixture.issuer.issue(request, [3; 16], NOW_MS) else {
        return; // more than a certificate holds
    };
    let (certificate, _) = signed.open().expect("the issuer's own certificate opens");
    let everything = Certificate {
        permissions: Permissions::everything(),
        ..certificate.clone()
    };
    let access = of(&[certificate.clone()]);
    let chain = of(&[everything, certificate.clone(), certificate.clone()]);
    let rights = [
        &certificate.permissions.read,
        &certificate.permissions.write,
    ];
    assert!(access.reads_everything() == rights[0].is_everything());
    assert!(access.writes_everything() == rights[1].is_everything());
    let named = rights.into_iter().flat_map(|rights| match rights {
        Rights::Everything => Vec::new(),
        Rights::Collections(collections) => collections.keys().collect(),
    });
    let other = "other".to_owned();
    for collection in named.chain([&other]) {
        for (id, document) in &fixture.documents {
            let reads = access.may_read(collection, document);
            assert!(reads || !access.reads_all_of(collection));
            assert!(reads == access.may_read_encoded(collection, &document.encode()));
            assert!(reads == chain.may_read(collection, document));
            let writes = access.may_write(collection, id);
            assert!(writes == chain.may_write(collection, id));
            if let Err(denied) = writes {
                let faulty = denied.rules.iter().any(|rule| rule.error.is_some());
                assert!(!(faulty && is_sound), "{denied}");
                assert!(denied.to_string().contains("no right to write"));
            }
        }
    }
}

fn of(chain: &[Certificate]) -> Access {
    Access::of(chain.iter()).expect("a chain may be so long")
}
