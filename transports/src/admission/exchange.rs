//! The conversation of admission, without IO.
//!
//! The dialer opens, because a multiplexer tells the listener of a new substream only with its first bytes. The listener
//! shows its certificate first, so that whoever calls on strangers learns who answers, and who is asked does not have to
//! decide about the unknown. Each side verifies against the key that the connection's own security has proven.

use std::sync::Arc;

use sedge_identity::{
    Admitted, Certificate, CertificateChain, CertificateError, LocalIdentity, PublicKey,
    RefusalCode, SignedCertificate, Verified,
};

use super::{error::AdmissionError, wire::Message};

/// The version of the exchange that is spoken.
const VERSION: u32 = 1;

/// Which part a side has in the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It opens the substream.
    Dialer,
    /// It waits for the substream and shows its certificate first.
    Listener,
}

/// One side of the exchange with one peer.
#[derive(Debug)]
pub struct Exchange {
    identity: Arc<LocalIdentity>,
    admitted: Arc<Admitted>,
    peer: PublicKey,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Dialer, before its first message.
    Opening,
    /// Listener, waiting for the first message.
    AwaitingOpen,
    /// Waiting for the peer's certificate.
    AwaitingCertificate(Role),
    /// Dialer, waiting for the peer's word on its own certificate.
    AwaitingVerdict(Admission),
    Ended,
}

/// What is to be done next.
#[derive(Debug)]
pub struct Step {
    /// Bytes to send, with their length in front.
    pub send: Option<Vec<u8>>,
    /// How the exchange ended, if it did. What is to be sent goes out all the same.
    pub end: Option<Result<Admission, AdmissionError>>,
}

/// A peer's place in the registry of admitted peers. Dropping it gives the place back, so it belongs to the connection.
#[derive(Debug)]
pub struct Admission {
    admitted: Arc<Admitted>,
    certificate: Arc<Verified<Certificate>>,
}

impl Exchange {
    /// An exchange with the holder of the key `peer`, as the connection's own security has proven it.
    #[must_use]
    pub fn new(
        role: Role,
        identity: Arc<LocalIdentity>,
        admitted: Arc<Admitted>,
        peer: PublicKey,
    ) -> Self {
        let state = match role {
            Role::Dialer => State::Opening,
            Role::Listener => State::AwaitingOpen,
        };
        Self {
            identity,
            admitted,
            peer,
            state,
        }
    }

    /// The first step: the dialer opens, the listener waits.
    pub fn start(&mut self) -> Step {
        if matches!(self.state, State::Opening) {
            self.proceed(
                Message::Open(VERSION),
                State::AwaitingCertificate(Role::Dialer),
            )
        } else {
            Step {
                send: None,
                end: None,
            }
        }
    }

    /// Takes the peer's next message, without its length, at the time `now_ms` (ms since the Unix epoch).
    pub fn handle(&mut self, message: &[u8], now_ms: u64) -> Step {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let message = Message::decode(message);
        if let Some(Message::Refused(code)) = message {
            return Step::failed(AdmissionError::RefusedByPeer(code));
        }
        match (state, message) {
            (State::AwaitingOpen, Some(Message::Open(theirs))) => self.opened(theirs),
            (State::AwaitingCertificate(role), Some(Message::Certificate(envelope, issuers))) => {
                self.judge(role, self.verify(&envelope, &issuers, now_ms))
            }
            (State::AwaitingVerdict(admission), Some(Message::Admitted)) => Step {
                send: None,
                end: Some(Ok(admission)),
            },
            (state, _) => Step::failed(AdmissionError::Unexpected {
                expected: state.expected(),
            }),
        }
    }

    fn opened(&mut self, theirs: u32) -> Step {
        if theirs != VERSION {
            let error = AdmissionError::UnsupportedVersion {
                theirs,
                ours: VERSION,
            };
            return Step::refused(RefusalCode::UnsupportedVersion, error);
        }
        self.proceed(
            self.own_certificate(),
            State::AwaitingCertificate(Role::Listener),
        )
    }

    fn verify(
        &self,
        envelope: &[u8],
        issuers: &[Vec<u8>],
        now_ms: u64,
    ) -> Result<Verified<Certificate>, CertificateError> {
        let chain = CertificateChain::from_envelopes(envelope, issuers)?;
        self.identity.trust().verify(&chain, self.peer, now_ms)
    }

    fn judge(
        &mut self,
        role: Role,
        verified: Result<Verified<Certificate>, CertificateError>,
    ) -> Step {
        let certificate = match verified {
            Ok(certificate) => Arc::new(certificate),
            Err(error) => return Step::refused(error.code(), error.into()),
        };
        // Nothing holds an admitted peer to its rights yet, so whoever has not all of them stays outside.
        if !certificate.has_every_right() {
            return Step::refused(
                RefusalCode::UnsupportedVersion,
                AdmissionError::LimitedRights,
            );
        }
        // The place is taken before the peer is told, so that "admitted" is never taken back.
        let admission = match Admission::take(Arc::clone(&self.admitted), certificate) {
            Ok(admission) => admission,
            Err(error) => return Step::refused(RefusalCode::Full, error.into()),
        };
        match role {
            Role::Dialer => self.proceed(self.own_certificate(), State::AwaitingVerdict(admission)),
            Role::Listener => match Message::Admitted.encode() {
                Ok(bytes) => Step {
                    send: Some(bytes),
                    end: Some(Ok(admission)),
                },
                Err(error) => Step::failed(error),
            },
        }
    }

    fn own_certificate(&self) -> Message {
        let chain = self.identity.certificate().signed();
        let bytes = |envelope: &SignedCertificate| envelope.as_bytes().to_vec();
        let issuers = chain.issuers().iter().map(bytes).collect();
        Message::Certificate(bytes(chain.first()), issuers)
    }

    fn proceed(&mut self, message: Message, next: State) -> Step {
        match message.encode() {
            Ok(bytes) => {
                self.state = next;
                Step {
                    send: Some(bytes),
                    end: None,
                }
            }
            Err(error) => Step::failed(error),
        }
    }
}

impl State {
    fn expected(&self) -> &'static str {
        match self {
            Self::Opening => "nothing yet",
            Self::AwaitingOpen => "the opening of the admission exchange",
            Self::AwaitingCertificate(_) => "a certificate",
            Self::AwaitingVerdict(_) => "the word on our certificate",
            Self::Ended => "nothing any more",
        }
    }
}

impl Step {
    fn failed(error: AdmissionError) -> Self {
        Self {
            send: None,
            end: Some(Err(error)),
        }
    }

    fn refused(code: RefusalCode, error: AdmissionError) -> Self {
        match Message::Refused(code).encode() {
            Ok(bytes) => Self {
                send: Some(bytes),
                end: Some(Err(error)),
            },
            Err(_) => Self::failed(error),
        }
    }
}

impl Admission {
    fn take(
        admitted: Arc<Admitted>,
        certificate: Arc<Verified<Certificate>>,
    ) -> Result<Self, sedge_identity::Full> {
        admitted.admit(certificate.subject.peer_id(), Arc::clone(&certificate))?;
        Ok(Self {
            admitted,
            certificate,
        })
    }

    /// The certificate by which the peer was admitted.
    #[must_use]
    pub fn certificate(&self) -> &Arc<Verified<Certificate>> {
        &self.certificate
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admitted.release(&self.certificate.subject.peer_id());
    }
}

#[cfg(test)]
mod tests;
