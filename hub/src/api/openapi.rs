//! The OpenAPI document: made from the routes, committed as `hub/openapi.json`.
//!
//! The dashboard's TypeScript types are generated from the committed file; a test fails when
//! it no longer is what the code says. `GANDER_UPDATE=1 cargo test -p gander-hub --lib openapi`
//! or `gander-hub openapi > hub/openapi.json` brings it up to date.

use utoipa::openapi::{OpenApi, RefOr, Schema};

/// The document of every documented route.
#[must_use]
pub fn document() -> OpenApi {
    let (_, mut document, _) = super::routes::table().split();
    require_answered_fields(&mut document);
    document
}

/// The document as the text of `hub/openapi.json`, with a final line break.
///
/// # Errors
/// Never in practice: the document is plain data.
pub fn document_text() -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

/// Answers hold all of their fields (what is unknown is null), so a client need not ask whether
/// a field is there. utoipa calls every `Option` optional; only a request's may be left out.
fn require_answered_fields(document: &mut OpenApi) {
    const WITH_LEFT_OUT_FIELDS: [&str; 3] = ["ErrorObject", "ErrorDetails", "FieldError"];
    let Some(components) = document.components.as_mut() else {
        return;
    };
    for (name, schema) in &mut components.schemas {
        if name.ends_with("Request") || WITH_LEFT_OUT_FIELDS.contains(&name.as_str()) {
            continue;
        }
        if let RefOr::T(schema) = schema {
            require_all(schema);
        }
    }
}

fn require_all(schema: &mut Schema) {
    match schema {
        Schema::Object(object) => {
            object.required = object.properties.keys().cloned().collect();
        }
        Schema::OneOf(one_of) => one_of.items.iter_mut().for_each(|item| {
            if let RefOr::T(schema) = item {
                require_all(schema);
            }
        }),
        Schema::AllOf(all_of) => all_of.items.iter_mut().for_each(|item| {
            if let RefOr::T(schema) = item {
                require_all(schema);
            }
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed file is what the code says.
    #[test]
    fn the_committed_openapi_json_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let expected = document_text().unwrap();
        if std::env::var_os("GANDER_UPDATE").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == expected,
            "hub/openapi.json is out of date: run GANDER_UPDATE=1 cargo test -p gander-hub --lib openapi"
        );
    }
}
