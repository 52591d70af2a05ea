//! [`FileStore`] in Azure Blob storage.

use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientDownloadOptions, BlobClientUploadOptions,
    BlobContainerClientListBlobsOptions, BlobItem,
};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use std::num::NonZero;

use super::blob::{BlobContainer, code, upload_options, version};
use super::files::{FileEntry, FileStore, StoredFile};
use super::{OPERATION_TIMEOUT, PutError, StoreError, Version, in_time, within};

const LIST: &str = "list files";
const READ: &str = "read file";
const REPLACE: &str = "replace file";
const DELETE: &str = "delete file";

/// What the slowest transfer takes that is still waited for, beside [`OPERATION_TIMEOUT`].
const A_MEBIBYTE: Duration = Duration::from_secs(1);

#[async_trait]
impl FileStore for BlobContainer {
    async fn list(&self, prefix: &str) -> Result<Vec<FileEntry>, StoreError> {
        let failed = |error| self.failed(LIST, &error);
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            ..Default::default()
        };
        let mut blobs = self.client().list_blobs(Some(options)).map_err(failed)?;
        let mut files = Vec::new();
        // The pager asks for page after page: each has its time.
        while let Some(blob) =
            in_time(LIST, async { blobs.try_next().await.map_err(failed) }).await?
        {
            files.extend(entry(blob)?);
        }
        files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    async fn any(&self, prefix: &str) -> Result<bool, StoreError> {
        let failed = |error| self.failed(LIST, &error);
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            maxresults: Some(1),
            ..Default::default()
        };
        let mut blobs = self.client().list_blobs(Some(options)).map_err(failed)?;
        let first = in_time(LIST, async { blobs.try_next().await.map_err(failed) }).await?;
        Ok(first.is_some())
    }

    async fn read(&self, name: &str) -> Result<Option<StoredFile>, StoreError> {
        let failed = |error: azure_core::Error| match code(&error) {
            // Its later parts are asked for under the version of the first.
            Some("ConditionNotMet") => StoreError {
                operation: READ,
                message: "the file was replaced meanwhile".to_owned(),
                transient: true,
            },
            _ => self.failed(READ, &error),
        };
        let options = BlobClientDownloadOptions {
            parallel: Some(NonZero::<usize>::MIN),
            ..Default::default()
        };
        let blob = self.client().blob_client(name);
        let found = in_time(READ, async {
            match blob.download(Some(options)).await {
                Ok(found) => Ok(Some(found)),
                Err(error) if code(&error) == Some("BlobNotFound") => Ok(None),
                Err(error) => Err(failed(error)),
            }
        });
        let Some(found) = found.await? else {
            return Ok(None);
        };
        let version = version(found.properties.etag, READ)?;
        let mut parts = found.body;
        let mut body = BytesMut::new();
        while let Some(part) =
            in_time(READ, async { parts.try_next().await.map_err(failed) }).await?
        {
            body.extend_from_slice(&part);
        }
        Ok(Some(StoredFile {
            body: body.freeze(),
            version,
        }))
    }

    async fn replace(
        &self,
        name: &str,
        body: Bytes,
        expected: Option<&Version>,
    ) -> Result<Version, PutError> {
        let options = match expected {
            Some(Version(etag)) => BlobClientUploadOptions {
                if_match: Some(Etag::from(etag.to_string())),
                ..upload_options()
            },
            None => upload_options().if_not_exists(),
        };
        let mebibytes = u32::try_from(body.len() >> 20).unwrap_or(u32::MAX);
        let limit = OPERATION_TIMEOUT.saturating_add(A_MEBIBYTE.saturating_mul(mebibytes));
        let blob = self.client().blob_client(name);
        within(limit, REPLACE, async {
            match blob.upload(body.into(), Some(options)).await {
                Ok(replaced) => Ok(version(replaced.etag, REPLACE)?),
                Err(error) => Err(self.not_put(REPLACE, &error)),
            }
        })
        .await
    }

    async fn delete(&self, name: &str, Version(etag): &Version) -> Result<(), PutError> {
        let options = BlobClientDeleteOptions {
            if_match: Some(Etag::from(etag.to_string())),
            ..Default::default()
        };
        let blob = self.client().blob_client(name);
        in_time(DELETE, async {
            match blob.delete(Some(options)).await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.not_put(DELETE, &error)),
            }
        })
        .await
    }
}

impl BlobContainer {
    /// Replaced (412), made (409) or deleted (404) by somebody else. A retry inside the client after a lost answer looks the
    /// same, and reading again resolves that too.
    fn not_put(&self, operation: &'static str, error: &azure_core::Error) -> PutError {
        match code(error) {
            Some("ConditionNotMet" | "BlobAlreadyExists" | "BlobNotFound") => PutError::Stale,
            _ => self.failed(operation, error).into(),
        }
    }
}

/// `None` for what has no name, which no file is.
fn entry(blob: BlobItem) -> Result<Option<FileEntry>, StoreError> {
    let (Some(name), Some(properties)) = (blob.name, blob.properties) else {
        return Ok(None);
    };
    Ok(Some(FileEntry {
        name,
        version: quoted(version(properties.etag, LIST)?),
        size: properties.content_length.unwrap_or(0),
    }))
}

/// The service's lists have ETags without the quotes that headers have.
fn quoted(Version(etag): Version) -> Version {
    if etag.ends_with('"') {
        Version(etag)
    } else {
        Version(format!("\"{etag}\"").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_same_in_a_list_and_in_a_header() {
        let version = |etag: &str| Version(etag.into());
        assert_eq!(quoted(version("0x8DC")), version("\"0x8DC\""));
        assert_eq!(quoted(version("\"0x8DC\"")), version("\"0x8DC\""));
    }
}
