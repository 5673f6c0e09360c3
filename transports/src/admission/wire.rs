//! The bytes of the admission exchange.

use prost::Message as _;
use sedge_identity::{CertificateChain, CertificateError, RefusalCode, SignedCertificate};

use super::error::AdmissionError;
use crate::limits::ADMISSION_MESSAGE_BYTES_MAX;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/sedge.admission.rs"));
}

/// Bytes of the length in front of every message.
pub const MESSAGE_LENGTH_BYTES: usize = 2;

/// A message of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// The dialer begins.
    Open(Open),
    /// The listener shows its certificate.
    Answer(Answer),
    /// The dialer shows its own.
    Certificate(Envelopes),
    /// The sender admits the receiver.
    Admitted,
    /// The sender refuses the receiver.
    Refused(RefusalCode),
}

/// How the dialer begins. Names are as long as the sender made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// The version of the exchange.
    pub(crate) version: u32,
    /// The name of the dialer's chain.
    pub(crate) own: Vec<u8>,
    /// The name of the listener's chain as the dialer knows it; empty if it knows none.
    pub(crate) known: Vec<u8>,
}

/// How the listener answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// None where the dialer has named it.
    pub(crate) certificate: Option<Envelopes>,
    /// Whether the listener knows the chain that the dialer has named, and admits it.
    pub(crate) admitted: bool,
}

/// The envelope of the sender's certificate, and those of its issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelopes {
    pub(crate) first: Vec<u8>,
    pub(crate) issuers: Vec<Vec<u8>>,
}

impl Envelopes {
    /// The envelopes of a chain.
    pub(crate) fn of(chain: &CertificateChain) -> Self {
        let bytes = |envelope: &SignedCertificate| envelope.as_bytes().to_vec();
        Self {
            first: bytes(chain.first()),
            issuers: chain.issuers().iter().map(bytes).collect(),
        }
    }

    /// The chain, not yet believed.
    pub(crate) fn chain(&self) -> Result<CertificateChain, CertificateError> {
        CertificateChain::from_envelopes(&self.first, &self.issuers)
    }

    fn to_wire(&self) -> generated::Certificate {
        generated::Certificate {
            envelope: self.first.clone(),
            issuers: self.issuers.clone(),
        }
    }

    fn from_wire(wire: generated::Certificate) -> Self {
        Self {
            first: wire.envelope,
            issuers: wire.issuers,
        }
    }
}

/// Reads the length in front of a message.
///
/// # Errors
/// [`AdmissionError::MessageTooLarge`] above [`ADMISSION_MESSAGE_BYTES_MAX`].
pub fn message_bytes(length: [u8; MESSAGE_LENGTH_BYTES]) -> Result<usize, AdmissionError> {
    let bytes = usize::from(u16::from_be_bytes(length));
    if bytes > ADMISSION_MESSAGE_BYTES_MAX {
        return Err(AdmissionError::MessageTooLarge { bytes });
    }
    Ok(bytes)
}

impl Message {
    /// Writes the message with its length in front.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, AdmissionError> {
        use generated::message::Body;
        let body = match self {
            Self::Open(open) => Body::Open(generated::Open {
                version: open.version,
                own: open.own.clone(),
                known: open.known.clone(),
            }),
            Self::Answer(answer) => Body::Answer(generated::Answer {
                certificate: answer.certificate.as_ref().map(Envelopes::to_wire),
                admitted: answer.admitted,
            }),
            Self::Certificate(envelopes) => Body::Certificate(envelopes.to_wire()),
            Self::Admitted => Body::Admitted(generated::Admitted {}),
            Self::Refused(code) => Body::Refused(generated::Refused {
                code: code.to_wire(),
            }),
        };
        let message = generated::Message { body: Some(body) }.encode_to_vec();
        let too_large = || AdmissionError::MessageTooLarge {
            bytes: message.len(),
        };
        let length = u16::try_from(message.len()).map_err(|_| too_large())?;
        if message.len() > ADMISSION_MESSAGE_BYTES_MAX {
            return Err(too_large());
        }
        Ok([&length.to_be_bytes()[..], &message].concat())
    }

    /// Reads a message, without its length. None for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        use generated::message::Body;
        let message = generated::Message::decode(bytes).ok()?;
        Some(match message.body? {
            Body::Open(open) => Self::Open(Open {
                version: open.version,
                own: open.own,
                known: open.known,
            }),
            Body::Answer(answer) => Self::Answer(Answer {
                certificate: answer.certificate.map(Envelopes::from_wire),
                admitted: answer.admitted,
            }),
            Body::Certificate(certificate) => Self::Certificate(Envelopes::from_wire(certificate)),
            Body::Admitted(generated::Admitted {}) => Self::Admitted,
            Body::Refused(refused) => Self::Refused(RefusalCode::from_wire(refused.code)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(message: &Message) -> String {
        sedge_identity::hex(&message.encode().unwrap()).to_string()
    }

    fn envelopes(first: Vec<u8>, issuers: Vec<Vec<u8>>) -> Envelopes {
        Envelopes { first, issuers }
    }

    fn any_envelopes() -> impl Strategy<Value = Envelopes> {
        any::<(Vec<u8>, Vec<Vec<u8>>)>().prop_map(|(first, issuers)| envelopes(first, issuers))
    }

    fn any_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            any::<(u32, Vec<u8>, Vec<u8>)>().prop_map(|(version, own, known)| {
                Message::Open(Open {
                    version,
                    own,
                    known,
                })
            }),
            (prop::option::of(any_envelopes()), any::<bool>()).prop_map(
                |(certificate, admitted)| Message::Answer(Answer {
                    certificate,
                    admitted,
                })
            ),
            any_envelopes().prop_map(Message::Certificate),
            Just(Message::Admitted),
            prop::sample::select(&RefusalCode::ALL[..]).prop_map(Message::Refused),
        ]
    }

    /// Goal: the exact bytes are fixed.
    #[test]
    fn bytes_are_pinned() {
        let open = |known: &[u8]| {
            Message::Open(Open {
                version: 1,
                own: vec![7, 8],
                known: known.to_vec(),
            })
        };
        assert_eq!(hex(&open(&[])), "00080a06080112020708");
        assert_eq!(hex(&open(&[9])), "000b0a090801120207081a0109");
        let alone = envelopes(vec![7, 8], Vec::new());
        let answer = |certificate: Option<Envelopes>, admitted| {
            Message::Answer(Answer {
                certificate,
                admitted,
            })
        };
        assert_eq!(
            hex(&answer(Some(alone.clone()), false)),
            "00082a060a040a020708"
        );
        assert_eq!(hex(&answer(None, true)), "00042a021001");
        assert_eq!(hex(&Message::Certificate(alone)), "000612040a020708");
        let chain = envelopes(vec![7, 8], vec![vec![9], vec![10]]);
        assert_eq!(
            hex(&Message::Certificate(chain)),
            "000c120a0a02070812010912010a"
        );
        assert_eq!(hex(&Message::Admitted), "00021a00");
        assert_eq!(
            hex(&Message::Refused(RefusalCode::OtherApp)),
            "000422020803"
        );
    }

    /// Goal: the largest certificate fits, and anything larger is refused by its length alone.
    #[test]
    fn lengths_are_bounded() {
        let largest = envelopes(
            vec![0; sedge_identity::CERTIFICATE_BYTES_MAX - 3000],
            vec![vec![0; 1000]; sedge_identity::CHAIN_CERTIFICATES_MAX - 1],
        );
        assert!(Message::Certificate(largest.clone()).encode().is_ok());
        let answer = Message::Answer(Answer {
            certificate: Some(largest),
            admitted: true,
        });
        assert!(answer.encode().is_ok());
        let larger = envelopes(vec![0; ADMISSION_MESSAGE_BYTES_MAX], Vec::new());
        let larger = Message::Certificate(larger);
        assert!(matches!(
            larger.encode(),
            Err(AdmissionError::MessageTooLarge { .. })
        ));
        assert!(message_bytes([0x20, 0x40]).is_ok());
        assert!(matches!(
            message_bytes([0x20, 0x41]),
            Err(AdmissionError::MessageTooLarge { bytes: 0x2041 })
        ));
    }

    proptest! {
        /// Goal: every message reads back as it was written, and truncated it is never taken for itself.
        #[test]
        fn messages_round_trip(message in any_message()) {
            let bytes = message.encode().unwrap();
            let (length, body) = bytes.split_first_chunk().unwrap();
            prop_assert_eq!(message_bytes(*length).unwrap(), body.len());
            prop_assert_eq!(Message::decode(body), Some(message.clone()));
            for length in 0..body.len() {
                prop_assert_ne!(Message::decode(&body[..length]), Some(message.clone()));
            }
        }

        /// Goal: arbitrary bytes never panic.
        #[test]
        fn noise_is_survived(bytes: Vec<u8>) {
            if let Some(message) = Message::decode(&bytes) {
                prop_assert_eq!(Message::decode(&message.encode().unwrap()[2..]), Some(message));
            }
        }
    }
}
