//! The token by which a document holds an attachment.

use super::{BlobId, BlobRef};
use crate::limits::{ATTACHMENT_METADATA_BYTES_MAX, BLOB_BYTES_MAX};
use crate::value::{Attachment, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Why there can be no such token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// The metadata is too large.
    #[error(
        "the metadata has {0} bytes; at most {ATTACHMENT_METADATA_BYTES_MAX} are allowed. Keep more in fields of the document"
    )]
    MetadataTooLarge(usize),
    /// The content is too long.
    #[error("the attachment has more than {BLOB_BYTES_MAX} bytes, the most there may be; split it")]
    TooLong,
}

impl Attachment {
    /// The token of a blob.
    ///
    /// # Errors
    /// The metadata is too large, or the blob too long.
    pub fn new(
        id: BlobId,
        len: u64,
        metadata: BTreeMap<String, String>,
    ) -> Result<Self, AttachmentError> {
        if len > BLOB_BYTES_MAX {
            return Err(AttachmentError::TooLong);
        }
        check_metadata(&metadata)?;
        Ok(Self {
            id: id.0,
            len,
            metadata,
        })
    }

    /// Which blob it names.
    pub fn blob(&self) -> BlobRef {
        BlobRef {
            id: BlobId(self.id),
            len: self.len,
        }
    }
}

/// Refuses metadata too large for a token.
///
/// # Errors
/// [`AttachmentError::MetadataTooLarge`].
pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), AttachmentError> {
    let bytes = metadata.iter().map(|(name, text)| name.len() + text.len());
    match bytes.sum() {
        bytes if bytes > ATTACHMENT_METADATA_BYTES_MAX => {
            Err(AttachmentError::MetadataTooLarge(bytes))
        }
        _ => Ok(()),
    }
}

/// The blobs that the tokens of a document's value name, those that only CONFLICTS shows included. The one place that finds
/// tokens in values.
pub fn attachments_of(value: &Value) -> BTreeSet<BlobRef> {
    let mut found = BTreeSet::new();
    collect(value, &mut found);
    for value in value.conflicting() {
        collect(&value, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut BTreeSet<BlobRef>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(members) => members.values().for_each(|member| collect(member, found)),
        // One that says more than a blob may have names none that could ever be here.
        Value::Attachment(token) if token.len <= BLOB_BYTES_MAX => _ = found.insert(token.blob()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_json;

    fn token() -> Attachment {
        let metadata = BTreeMap::from([("name".to_owned(), "a.png".to_owned())]);
        Attachment::new(BlobId::of(b"a"), 1, metadata).unwrap()
    }

    /// Goal: what only resembles a token is none, so that nothing counts references that no other device counts.
    #[test]
    fn what_is_no_token_is_passed_over() {
        let id = BlobId::of(b"a");
        let token = format!(r#"{{"$attachment":{{"id":"{id}","len":1}}}}"#);
        for text in [
            format!(
                r#"{{"$attachment":{{"id":"{id}","len":{}}}}}"#,
                BLOB_BYTES_MAX + 1
            ),
            format!(r#"{{"id":"{id}","len":1}}"#),
            format!(r#"{{"$map":{token}}}"#),
        ] {
            let value = parse_json(&text).unwrap();
            assert!(attachments_of(&value).is_empty(), "{text}");
        }
        let token = parse_json(&token).unwrap();
        assert_eq!(attachments_of(&token).len(), 1);
    }

    /// Goal: tokens are found at every depth of a document, each blob once.
    #[test]
    fn tokens_are_found_anywhere() {
        let (one, two) = (Value::from(token()), BlobId::of(b"b"));
        let text = format!(
            r#"{{"a":[{one},{{"b":{{"$attachment":{{"id":"{two}","len":9}}}}}}],"c":{one}}}"#
        );
        let found = attachments_of(&parse_json(&text).unwrap());
        let two = BlobRef { id: two, len: 9 };
        assert_eq!(found, BTreeSet::from([token().blob(), two]));
    }

    /// Goal: metadata is bound to the byte, names and texts together.
    #[test]
    fn metadata_is_bounded() {
        let metadata = |bytes: usize| BTreeMap::from([("n".to_owned(), "x".repeat(bytes - 1))]);
        let most = ATTACHMENT_METADATA_BYTES_MAX;
        assert_eq!(check_metadata(&metadata(most)), Ok(()));
        assert_eq!(
            check_metadata(&metadata(most + 1)),
            Err(AttachmentError::MetadataTooLarge(most + 1))
        );
    }
}
