//! `sedge cert issuer`, `issue` and `renew`: what makes certificates.

use super::args::{IssueArguments, IssuerArguments, RenewArguments};
use super::files::{self, Readers};
use super::rights::{check, claims, permissions};
use super::signer::{Signer, new_key, root, unlucky};
use super::{passphrase, told};
use crate::cli::output::shell_quoted;
use crate::cli::{CliError, Done};
use sedge_crdt::random;
use sedge_identity::{
    CertificateKind, CertificateRequest, EncryptedIssuerKey, Issuer, Permissions, PublicKey,
    Validity,
};

/// Makes an issuer: a root, or one below another.
pub(super) fn issuer(arguments: IssuerArguments, json: bool) -> Result<Done, CliError> {
    let (certificate, key_file) = (&arguments.certificate, &arguments.key);
    files::check_free(certificate, arguments.force)?;
    files::check_free(key_file, arguments.force)?;
    let above = match (&arguments.issuer, &arguments.issuer_key) {
        (Some(issuer), Some(key)) => {
            let passphrase = arguments.issuer_passphrase_file.as_deref();
            Some(Signer::open(issuer, key, passphrase, &passphrase::ABOVE)?)
        }
        _ => None,
    };
    let key = new_key()?;
    let everything = Permissions::everything();
    let limits = above
        .as_ref()
        .map_or(&everything, |above| &above.own.permissions);
    let request = CertificateRequest {
        kind: CertificateKind::Issuer,
        permissions: permissions(&arguments.terms, limits)?,
        ..plain(key.public(), arguments.name)
    };
    check(&request, &arguments.terms)?;
    let life_ms = arguments.terms.life;
    let chain = match (&above, arguments.app) {
        (Some(above), _) => above.sign(request, life_ms)?,
        (None, Some(app)) => root(&Issuer::new(app, key.clone()), request, life_ms)?,
        (None, None) => return Err(CliError::Usage("an issuer needs --app NAME".to_owned())),
    };
    let passphrase = passphrase::OWN.choose(arguments.passphrase_file.as_deref())?;
    let encrypted = EncryptedIssuerKey::encrypt(&key, &passphrase, random().map_err(unlucky)?)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    // The key first: a certificate without its key would be of no use.
    let key_text = files::key_text(&encrypted);
    files::write(key_file, &key_text, Readers::Owner, arguments.force)?;
    let text = chain.to_text();
    files::write(certificate, &text, Readers::Anybody, arguments.force)?;
    let next = format!(
        "and its key, encrypted: {}\n\nCertify a device with:\n  sedge cert issue --issuer {} --key {} --subject KEY --name \
         NAME --output FILE",
        key_file.display(),
        shell_quoted(&certificate.to_string_lossy()),
        shell_quoted(&key_file.to_string_lossy()),
    );
    told(&chain, certificate, &next, json)
}

/// Certifies a device or a service.
pub(super) fn issue(arguments: IssueArguments, json: bool) -> Result<Done, CliError> {
    arguments.output.check_free()?;
    let signer = Signer::of_arguments(&arguments.signer, &passphrase::OWN)?;
    let request = CertificateRequest {
        user_id: arguments.user,
        kind: match arguments.service {
            true => CertificateKind::Service,
            false => CertificateKind::Device,
        },
        permissions: permissions(&arguments.terms, &signer.own.permissions)?,
        claims: claims(arguments.claims)?,
        ..plain(arguments.subject, arguments.name)
    };
    check(&request, &arguments.terms)?;
    let chain = signer.sign(request, arguments.terms.life)?;
    arguments.output.write(&chain)?;
    told(&chain, &arguments.output.file, INSTALL, json)
}

const INSTALL: &str = "\nBring it to the device, and there:\n  sedge cert install FILE";

/// Issues a certificate again: the same but for its serial and its time.
pub(super) fn renew(arguments: RenewArguments, json: bool) -> Result<Done, CliError> {
    arguments.output.check_free()?;
    let old = files::chain(&arguments.file)?;
    let (old, _) = old
        .first()
        .open()
        .map_err(|error| CliError::Failed(format!("{}: {error}", arguments.file.display())))?;
    let signer = Signer::of_arguments(&arguments.signer, &passphrase::OWN)?;
    if old.issuer != signer.own.subject.id() {
        return Err(CliError::Failed(format!(
            "{} was issued by another issuer ({}) than {:?}; renew it with that one's certificate and key",
            arguments.file.display(),
            old.issuer,
            signer.own.name
        )));
    }
    let request = CertificateRequest {
        subject: old.subject,
        name: old.name,
        user_id: old.user_id,
        kind: old.kind,
        validity: Validity::Unlimited, // the signer sets it
        permissions: old.permissions,
        claims: old.claims,
        critical: old.critical,
        extra: old.extra,
    };
    let chain = signer.sign(request, arguments.life)?;
    arguments.output.write(&chain)?;
    told(&chain, &arguments.output.file, INSTALL, json)
}

/// A request that says nothing yet but whom it is for. The signer sets the time.
fn plain(subject: PublicKey, name: String) -> CertificateRequest {
    CertificateRequest {
        permissions: Permissions::nothing(),
        ..CertificateRequest::development(subject, &name)
    }
}
