//! STUB until merged.
use crate::id::DocumentId;
use sedge_identity::Certificate;
#[derive(Debug)]
pub struct Access;
#[derive(Debug, thiserror::Error)]
#[error("rights")]
pub struct RightsError;
#[derive(Debug, thiserror::Error, Clone)]
#[error("denied")]
pub struct Denied;
impl Access {
    pub fn of<'a>(_: impl Iterator<Item = &'a Certificate>) -> Result<Self, RightsError> {
        Ok(Self)
    }
    pub fn may_write(&self, _: &str, _: &DocumentId) -> Result<(), Denied> {
        Ok(())
    }
}
