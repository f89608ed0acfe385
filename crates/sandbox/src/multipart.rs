//! `multipart/form-data` that lies in memory.

use bytes::Bytes;
use futures_util::{FutureExt, stream};

/// The most parts a form may have.
const MAX_PARTS: usize = 64;

/// One part of a form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FormPart {
    /// The field's name.
    pub name: String,
    /// The file's name, if it is sent as a file.
    pub filename: Option<String>,
    /// The part's own content type.
    pub content_type: Option<String>,
    /// The content.
    pub body: Bytes,
}

/// The parts of a form, or in what way it is not one.
pub(crate) fn parse_form(content_type: &str, body: Bytes) -> Result<Vec<FormPart>, String> {
    let boundary = multer::parse_boundary(content_type).map_err(|error| error.to_string())?;
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut form = multer::Multipart::new(whole, boundary);
    let read = async {
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await? {
            if parts.len() == MAX_PARTS {
                break;
            }
            parts.push(FormPart {
                name: field.name().unwrap_or_default().to_owned(),
                filename: field.file_name().map(str::to_owned),
                content_type: field.content_type().map(ToString::to_string),
                body: field.bytes().await?,
            });
        }
        Ok::<_, multer::Error>(parts)
    };
    // The whole body is there, so there is nothing to wait for.
    match read.now_or_never() {
        Some(read) => read.map_err(|error| error.to_string()),
        None => Err("the form does not end".to_owned()),
    }
}
