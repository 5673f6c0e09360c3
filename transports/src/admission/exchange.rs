//! The conversation of admission, without IO.
//!
//! The dialer opens, because a multiplexer tells the listener of a new substream only with its first bytes. The listener
//! shows its certificate first, so that whoever calls on strangers learns who answers, and who is asked does not have to
//! decide about the unknown. Each side verifies against the key that the connection's own security has proven.
//!
//! The dialer goes on as soon as it has admitted the listener, and hears the listener's word on its own certificate beside
//! what it does then: so admission costs it one round trip. The listener uses the connection only once each has admitted the
//! other. Who has been here before is known by the name of its chain, which then need not be sent again.

use std::sync::Arc;

use sedge_identity::{
    Admitted, Certificate, CertificateChain, CertificateError, Inadmissible, LocalIdentity,
    PublicKey, RefusalCode, Verified, admissible,
};

use super::{
    error::AdmissionError,
    known::{ChainName, KnownChains},
    wire::{Answer, Envelopes, Message, Open},
};

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
    known: Arc<KnownChains>,
    peer: PublicKey,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Dialer, before its first message.
    Opening,
    /// Listener, waiting for the first message.
    AwaitingOpen,
    /// Dialer, waiting for the listener's certificate, or that it is the one that was named.
    AwaitingAnswer(Option<CertificateChain>),
    /// Listener, waiting for the dialer's certificate.
    AwaitingCertificate,
    /// Listener that knew the dialer's chain, waiting for the dialer's word on its own.
    AwaitingConsent(Admission),
    /// Dialer that goes on already, waiting for the listener's word.
    AwaitingVerdict,
    Ended,
}

/// What is to be done next.
#[derive(Debug, Default)]
pub struct Step {
    /// Bytes to send, with their length in front.
    pub send: Option<Vec<u8>>,
    /// The peer's place among the admitted: from now on the connection may be used. For a dialer the exchange may go on
    /// beside that, and may still end with an error; then the connection must end too.
    pub admission: Option<Admission>,
    /// How the exchange ended, if it did. What is to be sent goes out all the same.
    pub end: Option<Result<(), AdmissionError>>,
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
        known: Arc<KnownChains>,
        peer: PublicKey,
    ) -> Self {
        let state = match role {
            Role::Dialer => State::Opening,
            Role::Listener => State::AwaitingOpen,
        };
        Self {
            identity,
            admitted,
            known,
            peer,
            state,
        }
    }

    /// The first step at the time `now_ms` (ms since the Unix epoch): the dialer opens, the listener waits.
    pub fn start(&mut self, now_ms: u64) -> Step {
        if !matches!(self.state, State::Opening) {
            return Step::default();
        }
        if self.has_ended(now_ms) {
            self.state = State::Ended;
            return Step::failed(AdmissionError::OwnCertificate);
        }
        let known = self.known.of(&self.peer);
        let open = Open {
            version: VERSION,
            own: self.own_name().to_vec(),
            known: known.as_ref().map_or(Vec::new(), |(name, _)| name.to_vec()),
        };
        let named = known.map(|(_, chain)| chain);
        self.proceed(Message::Open(open), State::AwaitingAnswer(named))
    }

    /// Takes the peer's next message, without its length, at the time `now_ms` (ms since the Unix epoch).
    pub fn handle(&mut self, message: &[u8], now_ms: u64) -> Step {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let message = Message::decode(message);
        if let Some(Message::Refused(code)) = message {
            return Step::failed(AdmissionError::RefusedByPeer(code));
        }
        match (state, message) {
            (State::AwaitingOpen, Some(Message::Open(open))) => self.opened(&open, now_ms),
            (State::AwaitingAnswer(named), Some(Message::Answer(answer))) => {
                self.answered(named, answer, now_ms)
            }
            (State::AwaitingCertificate, Some(Message::Certificate(shown))) => {
                match self.admit(shown.chain(), now_ms) {
                    Ok(admission) => Step::last(Message::Admitted, Some(admission)),
                    Err(refused) => refused,
                }
            }
            (State::AwaitingConsent(admission), Some(Message::Admitted)) => Step {
                send: None,
                admission: Some(admission),
                end: Some(Ok(())),
            },
            (State::AwaitingVerdict, Some(Message::Admitted)) => Step {
                end: Some(Ok(())),
                ..Step::default()
            },
            (state, _) => Step::unexpected(&state),
        }
    }

    /// The listener's turn: it shows its certificate, unless it was named, and may know the dialer's.
    fn opened(&mut self, open: &Open, now_ms: u64) -> Step {
        if open.version != VERSION {
            let error = AdmissionError::UnsupportedVersion {
                theirs: open.version,
                ours: VERSION,
            };
            return Step::refused(RefusalCode::UnsupportedVersion, error);
        }
        let Some(theirs) = ChainName::from_bytes(&open.own) else {
            return Step::unexpected(&State::AwaitingOpen);
        };
        if self.has_ended(now_ms) {
            return Step::failed(AdmissionError::OwnCertificate);
        }
        let is_named = ChainName::from_bytes(&open.known) == Some(self.own_name());
        let certificate = (!is_named).then(|| self.own_envelopes());
        // Looked up by the key that the connection has proven: the name of another device's chain is a name unknown.
        let known = self.known.of(&self.peer);
        let Some((_, chain)) = known.filter(|(name, _)| *name == theirs) else {
            let answer = Answer {
                certificate,
                admitted: false,
            };
            return self.proceed(Message::Answer(answer), State::AwaitingCertificate);
        };
        match self.admit(Ok(chain), now_ms) {
            Ok(admission) => {
                let answer = Answer {
                    certificate,
                    admitted: true,
                };
                self.proceed(Message::Answer(answer), State::AwaitingConsent(admission))
            }
            Err(refused) => refused,
        }
    }

    /// The dialer's turn: it judges the listener, and shows its own certificate where the listener does not know it.
    fn answered(&mut self, named: Option<CertificateChain>, answer: Answer, now_ms: u64) -> Step {
        let chain = match (&answer.certificate, named) {
            (Some(shown), _) => shown.chain(),
            (None, Some(named)) => Ok(named),
            (None, None) => return Step::unexpected(&State::AwaitingAnswer(None)),
        };
        let admission = match self.admit(chain, now_ms) {
            Ok(admission) => admission,
            Err(refused) => return refused,
        };
        if answer.admitted {
            return Step::last(Message::Admitted, Some(admission));
        }
        let shown = Message::Certificate(self.own_envelopes());
        Step {
            admission: Some(admission),
            ..self.proceed(shown, State::AwaitingVerdict)
        }
    }

    /// Gives the peer its place if its chain holds; else the step that refuses it.
    fn admit(
        &self,
        chain: Result<CertificateChain, CertificateError>,
        now_ms: u64,
    ) -> Result<Admission, Step> {
        let trust = self.identity.trust();
        let judged = chain
            .map_err(Inadmissible::from)
            .and_then(|chain| admissible(trust, &chain, self.peer, now_ms));
        let certificate = judged.map_err(|error| match error {
            Inadmissible::Certificate(error) => Step::refused(error.code(), error.into()),
            Inadmissible::LimitedReading => {
                let error = AdmissionError::LimitedReading;
                Step::refused(RefusalCode::LimitedReading, error)
            }
        })?;
        self.known.note(self.peer, certificate.signed());
        // The place is taken before the peer is told, so that "admitted" is never taken back.
        Admission::take(Arc::clone(&self.admitted), Arc::new(certificate))
            .map_err(|error| Step::refused(RefusalCode::Full, error.into()))
    }

    /// Whether this device's own certificate has ended: then a peer whose clock is behind is not to admit it either.
    fn has_ended(&self, now_ms: u64) -> bool {
        now_ms > self.identity.certificate().ends_ms()
    }

    fn own_envelopes(&self) -> Envelopes {
        Envelopes::of(self.identity.certificate().signed())
    }

    fn own_name(&self) -> ChainName {
        ChainName::of(self.identity.certificate().signed())
    }

    fn proceed(&mut self, message: Message, next: State) -> Step {
        match message.encode() {
            Ok(bytes) => {
                self.state = next;
                Step {
                    send: Some(bytes),
                    ..Step::default()
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
            Self::AwaitingAnswer(_) | Self::AwaitingCertificate => "a certificate",
            Self::AwaitingConsent(_) | Self::AwaitingVerdict => "the word on our certificate",
            Self::Ended => "nothing any more",
        }
    }
}

impl Step {
    fn failed(error: AdmissionError) -> Self {
        Self {
            end: Some(Err(error)),
            ..Self::default()
        }
    }

    fn unexpected(state: &State) -> Self {
        Self::failed(AdmissionError::Unexpected {
            expected: state.expected(),
        })
    }

    fn refused(code: RefusalCode, error: AdmissionError) -> Self {
        Self {
            send: Message::Refused(code).encode().ok(),
            ..Self::failed(error)
        }
    }

    /// Sends the last message of a good end.
    fn last(message: Message, admission: Option<Admission>) -> Self {
        match message.encode() {
            Ok(bytes) => Self {
                send: Some(bytes),
                admission,
                end: Some(Ok(())),
            },
            Err(error) => Self::failed(error),
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
