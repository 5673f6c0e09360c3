//! `sedge cert bundle`: one file of a certificate and those of its issuers.

use super::args::BundleArguments;
use super::{files, told};
use crate::cli::{CliError, Done};
use sedge_identity::{CertificateChain, SignedCertificate};

pub(super) fn run(arguments: &BundleArguments, json: bool) -> Result<Done, CliError> {
    arguments.output.check_free()?;
    let mut links: Vec<SignedCertificate> = Vec::new();
    for file in &arguments.files {
        for signed in files::certificates(file)? {
            let failed = |reason: String| CliError::Failed(format!("{}: {reason}", file.display()));
            let (found, signer) = signed.open().map_err(|error| failed(error.to_string()))?;
            if found.subject == signer || links.contains(&signed) {
                continue; // a root, or what an earlier file brought along
            }
            if let Some(below) = links.last() {
                let (below, _) = below.open().map_err(|error| failed(error.to_string()))?;
                if below.issuer != found.subject.id() {
                    return Err(failed(format!(
                        "{:?} did not issue the certificate of {:?}; name the files from the device's upwards",
                        found.name, below.name
                    )));
                }
            }
            links.push(signed);
        }
    }
    let Some((first, issuers)) = links.split_first() else {
        return Err(CliError::Failed(
            "there are only roots in these files, and a bundle has none; name the device's certificate".to_owned(),
        ));
    };
    let chain = CertificateChain::new(first.clone(), issuers)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    arguments.output.write(&chain)?;
    let next = "It is checked with: sedge cert verify FILE --root ROOT";
    told(&chain, &arguments.output.file, next, json)
}
