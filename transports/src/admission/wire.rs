//! The bytes of the admission exchange.

use prost::Message as _;
use sedge_identity::RefusalCode;

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
    /// The dialer begins, in this version of the exchange.
    Open(u32),
    /// The envelope of the sender's certificate, and those of its issuers.
    Certificate(Vec<u8>, Vec<Vec<u8>>),
    /// The sender admits the receiver.
    Admitted,
    /// The sender refuses the receiver.
    Refused(RefusalCode),
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
            Self::Open(version) => Body::Open(generated::Open { version: *version }),
            Self::Certificate(envelope, issuers) => Body::Certificate(generated::Certificate {
                envelope: envelope.clone(),
                issuers: issuers.clone(),
            }),
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
            Body::Open(open) => Self::Open(open.version),
            Body::Certificate(certificate) => {
                Self::Certificate(certificate.envelope, certificate.issuers)
            }
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

    fn any_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            any::<u32>().prop_map(Message::Open),
            any::<(Vec<u8>, Vec<Vec<u8>>)>()
                .prop_map(|(first, issuers)| Message::Certificate(first, issuers)),
            Just(Message::Admitted),
            prop::sample::select(&RefusalCode::ALL[..]).prop_map(Message::Refused),
        ]
    }

    /// Goal: the exact bytes are fixed.
    #[test]
    fn bytes_are_pinned() {
        assert_eq!(hex(&Message::Open(1)), "00040a020801");
        let alone = Message::Certificate(vec![7, 8], Vec::new());
        assert_eq!(hex(&alone), "000612040a020708");
        let chain = Message::Certificate(vec![7, 8], vec![vec![9], vec![10]]);
        assert_eq!(hex(&chain), "000c120a0a02070812010912010a");
        assert_eq!(hex(&Message::Admitted), "00021a00");
        assert_eq!(
            hex(&Message::Refused(RefusalCode::OtherApp)),
            "000422020803"
        );
    }

    /// Goal: the largest certificate fits, and anything larger is refused by its length alone.
    #[test]
    fn lengths_are_bounded() {
        let largest = Message::Certificate(
            vec![0; sedge_identity::CERTIFICATE_BYTES_MAX - 3000],
            vec![vec![0; 1000]; sedge_identity::CHAIN_CERTIFICATES_MAX - 1],
        );
        assert!(largest.encode().is_ok());
        let larger = Message::Certificate(vec![0; ADMISSION_MESSAGE_BYTES_MAX], Vec::new());
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
