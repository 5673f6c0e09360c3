//! The one place where random bytes are drawn.

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no random bytes: {0}")]
pub struct RandomError(#[from] getrandom::Error);

/// Draws random bytes from the system, fit for keys and secrets.
///
/// # Errors
/// [`RandomError`] when the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
