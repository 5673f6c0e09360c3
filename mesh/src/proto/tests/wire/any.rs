//! Any message that can be sent.

use super::*;
use proptest::collection::SizeRange;

fn any_document() -> impl Strategy<Value = DocumentKey> {
    ("[a-zé ]{1,20}", vec(any::<u8>(), 1..40))
        .prop_map(|(name, id)| DocumentKey::new(CollectionName::new(&name).unwrap(), id).unwrap())
}

fn any_heads() -> impl Strategy<Value = Vec<ChangeHash>> {
    vec(any::<[u8; 32]>().prop_map(ChangeHash), 0..5)
}

fn any_names() -> impl Strategy<Value = BTreeSet<CollectionName>> {
    vec("[a-z]{1,9}", 0..5).prop_map(|names| names.iter().map(|name| collection(name)).collect())
}

pub(super) fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

pub(super) fn any_seal() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 1..100).prop_map(Bytes::from)
}

fn any_certificate() -> impl Strategy<Value = NamedCertificate> {
    (any::<[u8; 32]>(), any_seal()).prop_map(|(name, bytes)| NamedCertificate { name, bytes })
}

fn any_fingerprints(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Fingerprint>> {
    vec(any::<[u8; 8]>().prop_map(Fingerprint), count)
}

fn any_comparison() -> impl Strategy<Value = Option<Comparison>> {
    let root = ("[a-z]{1,9}", any::<[u8; 8]>()).prop_map(|(name, fingerprint)| Root {
        collection: collection(&name),
        fingerprint: Fingerprint(fingerprint),
    });
    let comparison = (any::<[u8; 8]>(), vec(root, 0..4)).prop_map(|(nonce, roots)| Comparison {
        nonce: Nonce(nonce),
        roots,
    });
    proptest::option::of(comparison)
}

fn any_described() -> impl Strategy<Value = Described> {
    let content = prop_oneof![
        any_fingerprints(16).prop_map(Content::Parts),
        any_fingerprints(256).prop_map(Content::Parts),
        any_fingerprints(0..=ITEMS_MAX).prop_map(Content::Items),
    ];
    ("[a-c]", 0..=14_u8, any::<u64>(), content).prop_map(|(name, depth, bits, content)| {
        let bits = bits & ((1 << (4 * u32::from(depth))) - 1);
        Described {
            range: Range {
                collection: collection(&name),
                prefix: Prefix::new(depth, bits).unwrap(),
            },
            content,
        }
    })
}

fn any_differs() -> impl Strategy<Value = Differs> {
    let positions = || {
        vec(any::<u8>(), 0..20).prop_map(|it| {
            it.into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        })
    };
    (positions(), positions(), any::<bool>()).prop_map(|(which, lacking, finer)| Differs {
        which,
        lacking,
        finer,
    })
}

pub(super) fn any_message() -> impl Strategy<Value = Message> {
    let sequence = || any::<u64>().prop_map(Sequence);
    let cursor = || {
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Cursor {
            up_to: Sequence(a.max(b)),
            whole_to: Sequence(a.min(b)),
        })
    };
    let feed = || any::<[u8; 16]>().prop_map(FeedId);
    let interest = prop_oneof![
        Just(Interest::Everything),
        any_names().prop_map(Interest::Collections)
    ];
    let offered =
        (any_document(), any_heads()).prop_map(|(document, heads)| Offered { document, heads });
    let wanted =
        (any::<u32>(), any_heads()).prop_map(|(index, have_heads)| Wanted { index, have_heads });
    let piece =
        (any_document(), any_bytes(), any::<bool>()).prop_map(|(document, payload, more)| Piece {
            document,
            payload,
            more,
        });
    prop_oneof![
        (feed(), sequence(), any_names(), interest).prop_map(
            |(id, last, collections, interest)| {
                Message::Hello(Hello {
                    feed: FeedPosition { id, last },
                    collections,
                    interest,
                })
            }
        ),
        (feed(), cursor(), any_comparison()).prop_map(|(feed, after, comparison)| {
            Message::Follow {
                feed,
                after,
                comparison,
            }
        }),
        vec(any_described(), 1..6).prop_map(Message::Compare),
        vec(any_differs(), 0..6).prop_map(Message::Differing),
        (vec(offered, 0..6), sequence())
            .prop_map(|(entries, up_to)| Message::Offer(FeedPage { entries, up_to })),
        (sequence(), vec(wanted, 0..6), any::<bool>()).prop_map(
            |(up_to, wants, certificates_anew)| Message::Want {
                up_to,
                wants,
                certificates_anew,
            }
        ),
        (
            sequence(),
            vec(any_certificate(), 0..4),
            vec(any_seal(), 0..4),
            vec(piece, 0..6),
            any::<Option<u32>>()
        )
            .prop_map(|(up_to, certificates, seals, pieces, answered_below)| {
                Message::Changes(Changes {
                    up_to,
                    certificates,
                    seals,
                    pieces,
                    answered_below,
                })
            }),
        cursor().prop_map(Message::Ack),
        any_names().prop_map(Message::Collections),
        (0..4_u8).prop_map(|issuers| Message::Renewed(renewed(issuers))),
        any::<u32>().prop_map(|code| Message::Close(CloseCode::from_number(code))),
    ]
}
