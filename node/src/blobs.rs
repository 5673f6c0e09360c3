//! Joins the store's attachments to the mesh: the mesh's `Blobs` over `sedge-crdt`'s store.

use sedge_crdt::{BlobError, BlobId, BlobRef, ChunkProof, Store, StoreError};
use sedge_mesh::{Blob, Blobs, Chunk, ChunkSet, ReplicaError, Taken};

/// The store's blobs as the mesh sees them.
pub(crate) struct StoreBlobs(pub(crate) Store);

/// The blob as the mesh names it.
pub(crate) fn to_mesh(blob: BlobRef) -> Blob {
    Blob {
        id: blob.id.0,
        len: blob.len,
    }
}

fn from_mesh(blob: Blob) -> BlobRef {
    BlobRef {
        id: BlobId(blob.id),
        len: blob.len,
    }
}

impl Blobs for StoreBlobs {
    fn held(&self, blob: Blob) -> Result<ChunkSet, ReplicaError> {
        let missing = self.0.attachments().missing(from_mesh(blob));
        let missing = missing.map_err(failed("tell what is here of an attachment"))?;
        let mut held = ChunkSet::all(blob.chunks());
        missing
            .into_iter()
            .flatten()
            .for_each(|index| held.remove(index));
        Ok(held)
    }

    fn chunk(&self, blob: Blob, index: u64) -> Result<Option<Chunk>, ReplicaError> {
        if index >= blob.chunks() {
            return Ok(None);
        }
        let chunk = self
            .0
            .attachments()
            .chunk_with_proof(from_mesh(blob), index);
        let chunk = chunk.map_err(failed("read a piece of an attachment"))?;
        Ok(chunk.map(|(bytes, proof)| Chunk {
            bytes: bytes.into(),
            proof: proof.encode().into(),
        }))
    }

    fn accept(&self, blob: Blob, index: u64, chunk: &Chunk) -> Result<Taken, ReplicaError> {
        let wrong = |reason: String| Ok(Taken::Wrong { reason });
        let proof = match ChunkProof::decode(&chunk.proof, blob.len, index) {
            Ok(proof) => proof,
            Err(error) => return wrong(error.to_string()),
        };
        let attachments = self.0.attachments();
        match attachments.put_chunk(from_mesh(blob), index, &chunk.bytes, &proof) {
            Ok(true) => Ok(Taken::Whole),
            Ok(false) => Ok(Taken::Kept),
            Err(StoreError::Attachment(BlobError::Chunk(error))) => wrong(error.to_string()),
            Err(error) => Err(failed("keep a piece of an attachment")(error)),
        }
    }
}

fn failed(operation: &'static str) -> impl FnOnce(StoreError) -> ReplicaError {
    move |source| ReplicaError {
        operation,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: store and mesh cut attachments alike, and no proof of the store is too long for the mesh.
    #[test]
    fn both_cut_alike() {
        use sedge_crdt::limits::BLOB_BYTES_MAX;
        use sedge_mesh::limits;
        assert_eq!(sedge_crdt::BLOB_CHUNK_BYTES, limits::BLOB_CHUNK_BYTES);
        assert_eq!(BLOB_BYTES_MAX, limits::BLOB_BYTES_MAX);
        for len in [0, 1, 65_536, 65_537, BLOB_BYTES_MAX - 1, BLOB_BYTES_MAX] {
            let blob = Blob { id: [0; 32], len };
            assert_eq!(sedge_crdt::chunk_count(len), blob.chunks());
            for index in [0, blob.chunks() - 1] {
                let hashes = sedge_crdt::proof_hashes(len, index).unwrap();
                assert!(hashes * 32 <= limits::BLOB_PROOF_BYTES_MAX);
            }
        }
    }
}
