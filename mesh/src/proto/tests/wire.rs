//! Goal: the exact bytes of every message are pinned, every message survives the way through bytes, and
//! no truncation of a message is taken for one.

mod any;

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use sedge_identity::{
    CERTIFICATE_BYTES_MAX as CHAIN_BYTES_MAX, CertificateChain, SignedCertificate, hex,
};

use self::any::{any_bytes, any_message, any_seal};
use super::fixtures::{collection, document};
use crate::{
    limits::{
        CERTIFICATE_BYTES_MAX, COLLECTIONS_MAX, FLOOD_DOCUMENTS_MAX, FLOOD_SEALS_MAX,
        FRAME_BYTES_MAX, HEADS_MAX, ITEMS_MAX, PAGE_ENTRIES_MAX, SEAL_BYTES_MAX,
    },
    proto::{
        Changes, CloseCode, Comparison, Content, DecodeError, Described, Differs, Fingerprint,
        Hello, Message, Nonce, Piece, Root, Wanted,
        codec::{decode_flood, encode_flood, pb},
        decode_frame, encode_frame, topic_name,
    },
    replica::{
        Bundle, ChangeHash, CollectionName, Cursor, Delta, DocumentKey, FeedId, FeedPage,
        FeedPosition, Interest, NamedCertificate, Offered, Prefix, Range, Sequence,
    },
};

fn head(byte: u8) -> ChangeHash {
    ChangeHash([byte; 32])
}

fn described(depth: u8, bits: u64, content: Content) -> Described {
    let (collection, prefix) = (collection("cars"), Prefix::new(depth, bits).unwrap());
    Described {
        range: Range { collection, prefix },
        content,
    }
}

fn pinned() -> Vec<(Message, &'static str)> {
    let cars = || BTreeSet::from([collection("cars")]);
    let feed = FeedId([0xaa; 16]);
    let document = document("cars", 7);
    vec![
        (
            Message::Hello(Hello {
                feed: FeedPosition {
                    id: feed,
                    last: Sequence(300),
                },
                collections: cars(),
                interest: Interest::Everything,
            }),
            "000000210a1f08031210aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa18ac022204636172732801",
        ),
        (
            Message::Hello(Hello {
                feed: FeedPosition {
                    id: feed,
                    last: Sequence(0),
                },
                collections: BTreeSet::new(),
                interest: Interest::Collections(cars()),
            }),
            "0000001c0a1a08031210aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa320463617273",
        ),
        (
            Message::Follow {
                feed,
                after: Cursor::whole(Sequence(5)),
                comparison: None,
            },
            "0000001812160a10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa10051805",
        ),
        (
            Message::Offer(FeedPage {
                entries: vec![Offered {
                    document: document.clone(),
                    heads: vec![head(1)],
                }],
                up_to: Sequence(9),
            }),
            "000000311a2f0809122b0a04636172731201371a200101010101010101010101010101010101010101010101010101010101010101",
        ),
        (
            Message::Want {
                up_to: Sequence(9),
                wants: vec![Wanted {
                    index: 0,
                    have_heads: vec![head(2)],
                }],
                certificates_anew: true,
            },
            "0000002a222808091222122002020202020202020202020202020202020202020202020202020202020202021801",
        ),
        (
            Message::Changes(Changes {
                up_to: Sequence(9),
                certificates: vec![NamedCertificate {
                    name: [3; 32],
                    bytes: Bytes::from_static(b"ghi"),
                }],
                seals: vec![Bytes::from_static(b"def")],
                pieces: vec![Piece {
                    document,
                    payload: Bytes::from_static(b"abc"),
                    more: true,
                }],
                answered_below: Some(1),
            }),
            "000000482a46080912100a04636172731201371a036162632001180120012a0364656632270a2003030303030303030303030303030303030303030303030303030303030303031203676869",
        ),
        (
            Message::Ack(Cursor {
                up_to: Sequence(9),
                whole_to: Sequence(7),
            }),
            "00000006320408091007",
        ),
        (Message::Collections(cars()), "000000083a060a0463617273"),
        (
            Message::Renewed(renewed(2)),
            "0000000b4a090a0101120102120103",
        ),
        (Message::Close(CloseCode::Unexpected), "0000000442020805"),
        (
            Message::Follow {
                feed,
                after: Cursor::default(),
                comparison: Some(Comparison {
                    nonce: Nonce([5; 8]),
                    roots: vec![Root {
                        collection: collection("cars"),
                        fingerprint: Fingerprint([6; 8]),
                    }],
                }),
            },
            "00000030122e0a10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa220805050505050505052a100a046361727312080606060606060606",
        ),
        (
            Message::Compare(vec![
                described(2, 0xab, Content::Items(vec![Fingerprint([1; 8])])),
                described(1, 0xc, Content::Parts(vec![Fingerprint([2; 8]); 16])),
            ]),
            "000000a652a3010a170a0463617273100218ab012208010101010101010128010a87011001180c2280010202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202",
        ),
        (
            Message::Differing(vec![Differs {
                which: vec![0, 3],
                lacking: vec![7],
                finer: true,
            }]),
            "0000000d5a0b0a090a0200031201071801",
        ),
    ]
}

/// A chain of certificates of a byte each, which nobody believes.
fn renewed(issuers: u8) -> CertificateChain {
    let certificate = |byte| SignedCertificate::from_bytes(&[byte]).unwrap();
    let issuers: Vec<_> = (0..issuers).map(|place| certificate(place + 2)).collect();
    CertificateChain::new(certificate(1), &issuers).unwrap()
}

/// Goal: a chain of too many or too large certificates is refused as it is read.
#[test]
fn a_chain_is_bounded() {
    let frame = |envelope: usize, issuers: usize| {
        let renewed = pb::Renewed {
            envelope: vec![0; envelope].into(),
            issuers: vec![Bytes::from_static(&[1]); issuers],
        };
        let message = Some(pb::frame::Message::Renewed(renewed));
        decode_frame(pb::Frame { message }.encode_to_vec().into())
    };
    assert!(frame(CHAIN_BYTES_MAX - 3, 3).is_ok());
    for (envelope, issuers) in [(CHAIN_BYTES_MAX - 2, 3), (1, 4), (1, 900)] {
        let refused = frame(envelope, issuers).unwrap_err();
        assert_eq!(refused.code(), CloseCode::TooLarge, "{envelope} {issuers}");
    }
}

#[test]
fn the_bytes_of_every_message_are_pinned() {
    for (message, bytes) in pinned() {
        assert_eq!(
            hex(&encode_frame(&message)).to_string(),
            bytes,
            "{message:?}"
        );
    }
}

#[test]
fn the_bytes_of_a_flood_and_a_topic_are_pinned() {
    let bundle = Bundle {
        certificates: Vec::new(),
        seals: vec![Bytes::from_static(b"def")],
        deltas: vec![Delta {
            document: document("cars", 7),
            payload: Bytes::from_static(b"abc"),
        }],
    };
    assert_eq!(
        hex(&encode_flood(&bundle)).to_string(),
        "0a0e0a04636172731201371a036162631203646566"
    );
    assert_eq!(
        topic_name("demo", &collection("cars")),
        "/sedge/1/e835fc5d0776a415f8ba369fd0e4e540"
    );
}

/// Goal: what floods has one encoding, so that one content has one name: fields that nobody knows, in another order or in
/// longer numbers are refused.
#[test]
fn a_flood_has_one_encoding() {
    let delta = [
        &[0x0a, 0x0e, 0x0a, 4][..],
        b"cars",
        &[0x12, 1, b'7', 0x1a, 3],
        b"abc",
    ]
    .concat();
    let seal = [&[0x12, 3][..], b"def"].concat();
    let decoded = |parts: &[&[u8]]| decode_flood(parts.concat().into(), &collection("cars"));
    assert!(decoded(&[&delta, &seal]).is_ok());
    let longer = [&[0x12, 0x83, 0][..], b"def"].concat();
    let within = [&[0x0a, 0x10][..], &delta[2..], &[0x78, 1]].concat();
    for parts in [
        [&delta[..], &seal[..], &[0x78, 1]],
        [&[0x78, 1], &delta, &seal],
        [&seal, &delta, &[]],
        [&delta, &longer, &[]],
        [&within, &seal, &[]],
    ] {
        let refused = decoded(&parts);
        assert!(
            matches!(refused, Err(DecodeError::Malformed(_))),
            "{refused:?}"
        );
    }
}

proptest! {
    #[test]
    fn every_message_survives_the_way_through_bytes(message in any_message()) {
        let frame = encode_frame(&message);
        prop_assert_eq!(usize::try_from(u32::from_be_bytes(frame[..4].try_into().unwrap())).unwrap(), frame.len() - 4);
        prop_assert_eq!(decode_frame(frame.slice(4..)).unwrap(), message);
    }

    /// The message is one field of its frame, so every cut is noticed.
    #[test]
    fn truncation_is_refused(message in any_message()) {
        let body = encode_frame(&message).slice(4..);
        for end in 0..body.len() {
            prop_assert!(decode_frame(body.slice(..end)).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        drop(decode_frame(bytes.clone()));
        drop(decode_flood(bytes, &collection("cars")));
    }

    #[test]
    fn a_flood_survives_the_way_through_bytes(
        id in 0..99_u64,
        payloads in vec(any_bytes(), 1..16),
        seals in vec(any_seal(), 0..9),
    ) {
        let deltas = payloads
            .into_iter()
            .map(|payload| Delta { document: document("cars", id), payload })
            .collect();
        let bundle = Bundle { certificates: Vec::new(), seals, deltas };
        let payload = encode_flood(&bundle);
        prop_assert_eq!(decode_flood(payload.clone(), &collection("cars")).unwrap(), bundle);
        prop_assert!(decode_flood(payload, &collection("boats")).is_err());
    }
}

/// Lists beyond their limit are refused before they are decoded: a megabyte of empty entries included.
#[test]
fn lists_beyond_their_limit_are_refused() {
    let refused = |message: Message| {
        matches!(
            decode_frame(encode_frame(&message).slice(4..)),
            Err(DecodeError::TooLarge { .. })
        )
    };
    let entry = |heads| Offered {
        document: document("c", 1),
        heads: vec![head(1); heads],
    };
    assert!(refused(Message::Offer(FeedPage {
        entries: vec![entry(1); PAGE_ENTRIES_MAX + 1],
        up_to: Sequence(1)
    })));
    assert!(refused(Message::Offer(FeedPage {
        entries: vec![entry(HEADS_MAX + 1)],
        up_to: Sequence(1)
    })));
    let names = (0..=COLLECTIONS_MAX)
        .map(|n| collection(&n.to_string()))
        .collect();
    assert!(refused(Message::Collections(names)));

    for tag in [0x1a_u8, 0x22, 0x2a, 0x3a] {
        let mut body = BytesMut::new();
        body.put_u8(tag);
        let list = 900_000_u32;
        body.put_slice(&[
            (list & 0x7f) as u8 | 0x80,
            ((list >> 7) & 0x7f) as u8 | 0x80,
            (list >> 14) as u8,
        ]);
        body.put_bytes(0x12, 0);
        for _ in 0..list / 2 {
            body.put_slice(&[0x12, 0]);
        }
        assert!(matches!(
            decode_frame(body.freeze()),
            Err(DecodeError::TooLarge { .. })
        ));
    }
    let too_long = Bytes::from(vec![0; FRAME_BYTES_MAX + 1]);
    assert!(matches!(
        decode_frame(too_long),
        Err(DecodeError::TooLarge { .. })
    ));
}

/// Nobody has more than it has dealt with.
#[test]
fn a_cursor_that_is_whole_beyond_its_position_is_refused() {
    let ack = encode_frame(&Message::Ack(Cursor {
        up_to: Sequence(9),
        whole_to: Sequence(10),
    }));
    assert!(matches!(
        decode_frame(ack.slice(4..)),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn another_version_is_named() {
    let body = Bytes::from_static(&[0x0a, 0x04, 0x08, 0x01, 0x38, 0x01]);
    assert_eq!(decode_frame(body), Err(DecodeError::Version(1)));
}

fn evidence(seals: Vec<Bytes>, certificates: Vec<NamedCertificate>) -> Message {
    Message::Changes(Changes {
        seals,
        certificates,
        ..Changes::empty(Sequence(1))
    })
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![1; length])
}

/// Goal: each bound of seals and certificates, their number in a frame and in a flood and the bytes of each, is kept to
/// the last entry and byte.
#[test]
fn seals_and_certificates_beyond_their_limits_are_refused() {
    let decoded = |message: &Message| decode_frame(encode_frame(message).slice(4..));
    let certificate = |length| NamedCertificate {
        name: [1; 32],
        bytes: bytes(length),
    };
    let within = [
        evidence(vec![bytes(SEAL_BYTES_MAX)], vec![]),
        evidence(vec![bytes(1); PAGE_ENTRIES_MAX], vec![]),
        evidence(vec![], vec![certificate(CERTIFICATE_BYTES_MAX)]),
        evidence(vec![], vec![certificate(1); PAGE_ENTRIES_MAX]),
    ];
    for message in &within {
        assert_eq!(decoded(message).as_ref(), Ok(message));
    }
    let half = PAGE_ENTRIES_MAX / 2;
    for message in [
        evidence(vec![bytes(SEAL_BYTES_MAX + 1)], vec![]),
        evidence(vec![bytes(1); PAGE_ENTRIES_MAX + 1], vec![]),
        evidence(vec![], vec![certificate(CERTIFICATE_BYTES_MAX + 1)]),
        evidence(vec![], vec![certificate(1); PAGE_ENTRIES_MAX + 1]),
        // All lists of a message together are counted before any is decoded.
        evidence(vec![bytes(1); half + 9], vec![certificate(1); half]),
    ] {
        assert!(matches!(
            decoded(&message),
            Err(DecodeError::TooLarge { .. })
        ));
    }
    for message in [
        evidence(vec![Bytes::new()], vec![]),
        evidence(vec![], vec![certificate(0)]),
    ] {
        assert!(matches!(decoded(&message), Err(DecodeError::Malformed(_))));
    }

    let flood = |deltas, seals, length| {
        let delta = Delta {
            document: document("c", 1),
            payload: bytes(1),
        };
        let bundle = Bundle {
            certificates: vec![],
            seals: vec![bytes(length); seals],
            deltas: vec![delta; deltas],
        };
        decode_flood(encode_flood(&bundle), &collection("c")).map(|_| ())
    };
    assert_eq!(flood(FLOOD_DOCUMENTS_MAX, FLOOD_SEALS_MAX, 1), Ok(()));
    assert_eq!(flood(1, 1, SEAL_BYTES_MAX), Ok(()));
    for refused in [
        flood(1, FLOOD_SEALS_MAX + 1, 1),
        flood(FLOOD_DOCUMENTS_MAX + 1, 1, 1),
        flood(1, 1, SEAL_BYTES_MAX + 1),
    ] {
        assert!(matches!(refused, Err(DecodeError::TooLarge { .. })));
    }
}

/// Goal: the name of a certificate is a hash, and nothing shorter or longer.
#[test]
fn a_name_of_a_certificate_has_32_bytes() {
    for length in [31, 33] {
        let name = vec![3; length];
        let certificate = [&[0x0a, length as u8][..], &name, &[0x12, 1, 9]].concat();
        let changes = [&[0x32, certificate.len() as u8][..], &certificate].concat();
        let frame = [&[0x2a, changes.len() as u8][..], &changes].concat();
        assert!(matches!(
            decode_frame(frame.into()),
            Err(DecodeError::Malformed(_))
        ));
    }
}
