//! The arguments of `sedge cert`.

use super::rights::{Rule, claim, rule};
use clap::{Args, Subcommand};
use sedge::{AppId, check_device_name};
use sedge_identity::{PublicKey, parse_hex};
use std::path::PathBuf;

/// What `sedge cert` does.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CertCommand {
    /// Make an issuer: its key, encrypted, and its certificate
    #[command(
        after_help = "Examples:\n  sedge cert issuer --app shop --name 'Shop root'\n  \
                      sedge cert issuer --name 'Berlin' --issuer issuer.crt --issuer-key issuer.key \\\n    \
                      --certificate berlin.crt --key berlin.key --life 365d\n\n\
                      Without --issuer it is a root: devices that trust it are told so by sedge init --root. Keep its key \
                      offline."
    )]
    Issuer(IssuerArguments),
    /// Certify a device's key
    #[command(
        after_help = "Examples:\n  sedge cert issue --subject KEY --name till-2 --output till-2.crt\n  \
                      sedge cert issue --subject KEY --name till-2 --output till-2.crt --claim shop=berlin \\\n    \
                      --read everything --write \"cars WHERE _id.shop = :shop\"\n\n\
                      sedge init --root tells a device's KEY. A rule is a collection, or COLLECTION WHERE CONDITION; :NAME in \
                      it is\nthe claim of that name; :_name, :_subject and :_userId are the certificate's own. A condition \
                      for writing\nlooks at _id and these only. Peers of this version admit only devices that may read \
                      everything: give --read everything beside --write."
    )]
    Issue(IssueArguments),
    /// Show what is in a file of certificates
    #[command(
        after_help = "Examples:\n  sedge cert show till-2.crt\n  sedge cert show issuer.crt --json"
    )]
    Show(FileArguments),
    /// Check a device's certificate as a peer would, now
    #[command(after_help = "Example:\n  sedge cert verify till-2.crt --root issuer.crt")]
    Verify(VerifyArguments),
    /// Issue a certificate again, for longer
    #[command(
        after_help = "Example:\n  sedge cert renew till-2.crt --output till-2-new.crt --life 90d"
    )]
    Renew(RenewArguments),
    /// Put a certificate and those of its issuers into one file
    #[command(
        after_help = "Example:\n  sedge cert bundle till-2.crt berlin.crt --output till-2-bundle.crt\n\n\
                      From the device's upwards. A root's is left out: whoever trusts it has it."
    )]
    Bundle(BundleArguments),
    /// Make a certificate the one of this device
    #[command(after_help = "Example:\n  sedge cert install till-2.crt")]
    Install(FileArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct IssuerArguments {
    /// The app; only devices of the same app exchange anything
    #[arg(long, value_name = "NAME", value_parser = AppId::new, required_unless_present = "issuer", conflicts_with = "issuer")]
    pub(super) app: Option<AppId>,
    /// The issuer's name, for people
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) name: String,
    /// Where the certificate is written
    #[arg(long, value_name = "FILE", default_value = "issuer.crt")]
    pub(super) certificate: PathBuf,
    /// Where the key is written
    #[arg(long, value_name = "FILE", default_value = "issuer.key")]
    pub(super) key: PathBuf,
    /// A file with the new key's passphrase [default: SEDGE_PASSPHRASE, else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// The certificate of the issuer that signs this one [default: itself]
    #[arg(long, value_name = "FILE", requires = "issuer_key")]
    pub(super) issuer: Option<PathBuf>,
    /// That issuer's key
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(super) issuer_key: Option<PathBuf>,
    /// A file with the passphrase of that key [default: SEDGE_ISSUER_PASSPHRASE, else it is asked for]
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(super) issuer_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) terms: Terms,
    /// Replace files that are there
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct IssueArguments {
    /// The device's key, as sedge init --root tells it
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    pub(super) subject: PublicKey,
    /// The device's name, as other peers show it
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) name: String,
    /// The user on whose behalf the device acts
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
    /// It is a service, not a device
    #[arg(long)]
    pub(super) service: bool,
    /// A fact that rules can name; repeat for more
    #[arg(long = "claim", value_name = "NAME=TEXT", value_parser = claim)]
    pub(super) claims: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) terms: Terms,
    #[command(flatten)]
    pub(super) signer: SignerArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// How long a certificate counts and what it gives.
#[derive(Debug, Args)]
pub(in crate::cli) struct Terms {
    /// How long it counts: a number of d, h, m or s [default: ten years for a root, 90d for others, no longer than the
    /// issuer]
    #[arg(long, value_name = "TIME", value_parser = life)]
    pub(super) life: Option<u64>,
    /// What it may read: everything, a collection, or COLLECTION WHERE CONDITION; repeat for more [default: what the issuer
    /// may; nothing beside --write]
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub(super) read: Vec<Rule>,
    /// What it may write, in the same way [default: what the issuer may; nothing beside --read]
    #[arg(long, value_name = "RULE", value_parser = rule)]
    pub(super) write: Vec<Rule>,
    /// A file with both as JSON, as show --json tells "permissions"
    #[arg(long, value_name = "FILE", conflicts_with_all = ["read", "write"])]
    pub(super) permissions: Option<PathBuf>,
}

/// Who signs.
#[derive(Debug, Args)]
pub(in crate::cli) struct SignerArguments {
    /// The issuer's certificate
    #[arg(long, value_name = "FILE", default_value = "issuer.crt")]
    pub(super) issuer: PathBuf,
    /// The issuer's key
    #[arg(long, value_name = "FILE", default_value = "issuer.key")]
    pub(super) key: PathBuf,
    /// A file with the key's passphrase [default: SEDGE_PASSPHRASE, else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

/// Where what was made goes.
#[derive(Debug, Args)]
pub(in crate::cli) struct OutputArguments {
    /// Where it is written
    #[arg(id = "output", long, value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FileArguments {
    /// The file
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArguments {
    /// The device's certificate, with those of its issuers
    pub(super) file: PathBuf,
    /// The certificate of a trusted root; repeat for more
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) root: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RenewArguments {
    /// The certificate to issue again
    pub(super) file: PathBuf,
    /// How long the new one counts: a number of d, h, m or s [default: 90d, no longer than the issuer]
    #[arg(long, value_name = "TIME", value_parser = life)]
    pub(super) life: Option<u64>,
    #[command(flatten)]
    pub(super) signer: SignerArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BundleArguments {
    /// The device's certificate, then those of its issuers upwards
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

fn name(text: &str) -> Result<String, String> {
    check_device_name(text)?;
    Ok(text.to_owned())
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    let bytes = parse_hex(text)
        .ok_or("a device's key is 64 hexadecimal digits, as sedge init --root tells it")?;
    PublicKey::from_bytes(bytes).map_err(|error| error.to_string())
}

/// A span of time as people write it, in ms.
fn life(text: &str) -> Result<u64, String> {
    const SECOND_MS: u64 = 1000;
    let parse = || {
        let unit = text.chars().last()?;
        let unit_ms = match unit {
            's' => SECOND_MS,
            'm' => 60 * SECOND_MS,
            'h' => 3_600 * SECOND_MS,
            'd' => 86_400 * SECOND_MS,
            _ => return None,
        };
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(unit_ms).filter(|span_ms| *span_ms > 0)
    };
    parse().ok_or_else(|| "write it like 90d, 12h, 30m or 45s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a span has a number and a unit, and nothing else is taken for one.
    #[test]
    fn spans_have_a_unit() {
        for (text, span_ms) in [("90d", 7_776_000_000), ("12h", 43_200_000), ("1s", 1000)] {
            assert_eq!(life(text), Ok(span_ms), "{text}");
        }
        for text in [
            "",
            "90",
            "d",
            "-1d",
            "0d",
            "1.5d",
            "1y",
            "99999999999999999d",
        ] {
            assert!(life(text).is_err(), "{text}");
        }
    }
}
