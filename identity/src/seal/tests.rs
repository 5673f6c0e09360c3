//! Seals good and bad.

use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use proptest::prelude::*;

use super::*;
use crate::{key::KeyError, parse_hex};

/// The order of the group that Ed25519 signs in, 2^252 + 27742317777372353535851937790883648493, lowest byte first.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

fn device() -> DeviceKey {
    DeviceKey::from_seed([2; 32])
}

fn terms(app: &AppId) -> SealTerms<'_> {
    SealTerms {
        app,
        collection: "cars",
        certificate: CertificateName::from_bytes([3; 32]),
        incarnation: Incarnation([4; 8]),
        time_ms: 1_750_000_000_000,
    }
}

fn leaves(count: usize) -> Vec<MerkleHash> {
    let leaf = |index| merkle::leaf(b"\"1\"", &[index as u8; 32]);
    (0..count).map(leaf).collect()
}

fn sealed() -> Seal {
    Seal::sign(&device(), terms(&app("demo")), &leaves(3)).unwrap()
}

fn verify(bytes: &[u8]) -> Result<Seal, SealError> {
    let seal = Seal::decode(bytes)?;
    seal.verify(&device().public(), &app("demo"), "cars")?;
    Ok(seal)
}

/// Goal: the exact bytes of a seal, of what it signs and its name are fixed, and the bytes say what was sealed.
#[test]
fn bytes_are_pinned() {
    let seal = sealed();
    assert_eq!(
        hex(&seal.to_bytes()).to_string(),
        concat!(
            "01030303030303030303030303030303030303030303030303030303030303030304040404040404",
            "04000001977420dc000003a974988177a10fce395244ba69aed231342eb8a2183b6545c960f14966",
            "748a09a105ac0d1b8dac55fcfa22e2b93f78fc8c2123e3853fec547a916beab0b58a8f7db0f50e71",
            "2f215ba12f2092a1817b72b4fa6fed98fe488f3278aeca0c2eb800",
        )
    );
    assert_eq!(
        hex(&seal.message(&app("demo"), "cars")).to_string(),
        concat!(
            "000000000000000c7365646765207365616c2031",
            "000000000000000464656d6f000000000000000463617273",
            "01030303030303030303030303030303030303030303030303030303030303030304040404040404",
            "04000001977420dc000003a974988177a10fce395244ba69aed231342eb8a2183b6545c960f14966",
            "748a09",
        )
    );
    assert_eq!(seal.name().to_string(), "9a8af2f8c99e751b18390903adbe4986");
    assert_eq!(Seal::BYTES, 147);
    let read = verify(&seal.to_bytes()).unwrap();
    assert_eq!(read, seal);
    assert_eq!(read.certificate(), CertificateName::from_bytes([3; 32]));
    assert_eq!(read.incarnation(), Incarnation([4; 8]));
    assert_eq!(read.time_ms(), 1_750_000_000_000);
    assert_eq!(read.count(), 3);
    assert_eq!(read.root(), merkle::root(&leaves(3)));
}

/// Goal: a seal truncated at any byte, with a byte more, or with any bit flipped is refused.
#[test]
fn damage_is_refused() {
    let bytes = sealed().to_bytes();
    assert!(verify(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert_eq!(
            verify(&bytes[..length]),
            Err(SealError::Length { bytes: length })
        );
    }
    assert_eq!(
        verify(&[&bytes[..], &[0]].concat()),
        Err(SealError::Length { bytes: 148 })
    );
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes;
            bytes[index] ^= 1 << bit;
            assert!(verify(&bytes).is_err(), "bit {bit} of byte {index}");
        }
    }
}

/// Goal: a seal holds for its own key, app and collection only; where one name ends and the next begins is signed too.
#[test]
fn a_seal_holds_where_it_was_made_for() {
    let seal = sealed();
    let key = device().public();
    assert_eq!(seal.verify(&key, &app("demo"), "cars"), Ok(()));
    let other = DeviceKey::from_seed([5; 32]).public();
    for (key, app, collection) in [
        (other, "demo", "cars"),
        (key, "fleet", "cars"),
        (key, "demo", "boats"),
        (key, "demo", ""),
        (key, "democ", "ars"),
        (key, "dem", "ocars"),
    ] {
        let found = seal.verify(&key, &AppId::new(app).unwrap(), collection);
        assert_eq!(found, Err(SealError::Signature), "{app} {collection}");
    }
}

/// Goal: a seal of another key or incarnation is one of another actor, so it covers none of this one's changes.
#[test]
fn the_actor_follows_from_key_and_incarnation() {
    let (seal, app) = (sealed(), app("demo"));
    let key = device().public();
    let actor = seal.actor(&key);
    assert_eq!(actor, ActorName::of(&key, Incarnation([4; 8])));
    let restored = SealTerms {
        incarnation: Incarnation([5; 8]),
        ..terms(&app)
    };
    let restored = Seal::sign(&device(), restored, &leaves(3)).unwrap();
    assert_ne!(restored.actor(&key), actor);
    assert_ne!(restored.name(), seal.name());
    assert_ne!(seal.actor(&DeviceKey::from_seed([5; 32]).public()), actor);
}

/// Goal: as many changes as a seal may cover are sealed and read; none and one more are neither sealed nor read.
#[test]
fn the_number_of_changes_is_bounded() {
    let app = app("demo");
    for count in [1, SEAL_CHANGES_MAX] {
        let seal = Seal::sign(&device(), terms(&app), &leaves(count)).unwrap();
        assert_eq!(Seal::decode(&seal.to_bytes()), Ok(seal));
    }
    for changes in [0, SEAL_CHANGES_MAX + 1, 1 << 16, (1 << 16) + 1] {
        let refused = Seal::sign(&device(), terms(&app), &leaves(changes));
        assert_eq!(refused, Err(SealError::Count { changes }));
        let Ok(count) = u16::try_from(changes) else {
            continue;
        };
        let mut bytes = sealed().to_bytes();
        bytes[49..51].copy_from_slice(&count.to_be_bytes());
        assert_eq!(Seal::decode(&bytes), Err(SealError::Count { changes }));
    }
}

/// Goal: a seal of a later version is told from a damaged one.
#[test]
fn another_version_is_named() {
    let mut bytes = sealed().to_bytes();
    for version in [0, 2, 255] {
        bytes[0] = version;
        let refused = Err(SealError::UnsupportedVersion { version });
        assert_eq!(Seal::decode(&bytes), refused);
    }
}

/// Goal: a signature is taken in one form only, else whoever relays a seal could give it another name.
#[test]
fn a_signature_with_a_larger_s_is_refused() {
    let mut bytes = sealed().to_bytes();
    let order: [u8; 32] = parse_hex(ORDER).unwrap();
    let mut carry = 0;
    for (byte, of_order) in bytes[Seal::BYTES - 32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(of_order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(verify(&bytes), Err(SealError::Signature));
}

/// All encodings of the eight points of small order, those with y beyond the prime and with a sign that x = 0 has not
/// included (Chalkias et al., Taming the many EdDSAs, 2020).
fn small_order_keys() -> Vec<[u8; 32]> {
    let sevens = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let ys = [
        "0000000000000000000000000000000000000000000000000000000000000000".to_owned(),
        "0100000000000000000000000000000000000000000000000000000000000000".to_owned(),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
        format!("ecff{sevens}"),
        format!("edff{sevens}"),
        format!("eeff{sevens}"),
    ];
    let bytes = ys.map(|y| parse_hex::<32>(&y).unwrap());
    let with_sign = |mut y: [u8; 32]| {
        y[31] |= 0x80;
        y
    };
    bytes.into_iter().chain(bytes.map(with_sign)).collect()
}

/// Goal: under a key of small order anybody can sign anything, so no such key can be made; and where one were made, what
/// was forged under it would not hold.
#[test]
fn keys_of_small_order_seal_nothing() {
    let forge = |key: &[u8; 32], time_ms: u64| {
        let mut seal = sealed();
        seal.time_ms = time_ms;
        // R = the identity and S = 0 satisfy S B = R + k A whenever k A is the identity too.
        seal.signature = [0; 64];
        seal.signature[0] = 1;
        let message = seal.message(&app("demo"), "cars");
        let lenient = VerifyingKey::from_bytes(key).is_ok_and(|key| {
            key.verify(&message, &Signature::from_bytes(&seal.signature))
                .is_ok()
        });
        (seal, lenient)
    };
    let mut forged = 0;
    for key in small_order_keys() {
        assert_eq!(PublicKey::from_bytes(key), Err(KeyError::Invalid));
        let peer = libp2p_identity::ed25519::PublicKey::try_from_bytes(&key);
        if let Ok(peer) = peer {
            let peer = libp2p_identity::PublicKey::from(peer).to_peer_id();
            assert!(PublicKey::from_peer_id(&peer).is_err());
        }
        for time_ms in 0..64 {
            let (seal, lenient) = forge(&key, time_ms);
            forged += usize::from(lenient);
            let found = seal.verify(&PublicKey::unchecked(key), &app("demo"), "cars");
            assert_eq!(found, Err(SealError::Signature));
        }
    }
    assert!(
        forged > 64,
        "a lenient check takes {forged} of the forgeries"
    );
}

proptest! {
    /// Goal: arbitrary bytes are no seal, or one with these very bytes that does not hold.
    #[test]
    fn noise_is_survived(mut bytes: [u8; 32], tail: [u8; 32], length in 0..200_usize) {
        bytes[0] = VERSION;
        let bytes: Vec<u8> = bytes.into_iter().chain(tail.into_iter().cycle()).take(length).collect();
        if let Ok(seal) = Seal::decode(&bytes) {
            prop_assert_eq!(&seal.to_bytes()[..], &bytes);
            prop_assert_eq!(verify(&bytes), Err(SealError::Signature));
        }
    }

    /// Goal: whatever is sealed reads back as it was and holds.
    #[test]
    fn seals_round_trip(
        seed: [u8; 32], certificate: [u8; 32], incarnation: [u8; 8], time_ms: u64,
        collection in ".{0,40}", count in 1..=SEAL_CHANGES_MAX,
    ) {
        let (key, app) = (DeviceKey::from_seed(seed), app("demo"));
        let terms = SealTerms {
            app: &app,
            collection: &collection,
            certificate: CertificateName::from_bytes(certificate),
            incarnation: Incarnation(incarnation),
            time_ms,
        };
        let seal = Seal::sign(&key, terms, &leaves(count)).unwrap();
        prop_assert_eq!(Seal::decode(&seal.to_bytes()), Ok(seal.clone()));
        prop_assert_eq!(seal.verify(&key.public(), &app, &collection), Ok(()));
        prop_assert_eq!(seal.certificate(), CertificateName::from_bytes(certificate));
        prop_assert_eq!((seal.incarnation().0, seal.time_ms()), (incarnation, time_ms));
        prop_assert_eq!(usize::from(seal.count()), count);
    }
}
