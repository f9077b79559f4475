//! What is answered: the documented envelopes, and the refusals with their codes.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// An answer before the headers that every answer has.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// The `allow` header of a 405.
    pub(super) allow: Option<&'static str>,
    /// The `retry-after` header, seconds.
    pub(super) retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a, R, I> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    success: bool,
    errors: &'a [Value],
    messages: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    result_info: Option<I>,
}

/// The pages of a numbered list.
#[derive(Serialize)]
pub(super) struct PageInfo {
    pub(super) count: usize,
    pub(super) page: usize,
    pub(super) per_page: usize,
    pub(super) total_count: usize,
}

impl Answer {
    /// 200 with a result.
    pub(super) fn result(result: impl Serialize) -> Self {
        Self::success(Some(result), None::<()>, &[])
    }

    /// 200 with a result and a word beside it.
    pub(super) fn result_with_message(result: impl Serialize, code: u32, message: &str) -> Self {
        Self::success(
            Some(result),
            None::<()>,
            &[json!({"code": code, "message": message})],
        )
    }

    /// 200 with a list and its `result_info`.
    pub(super) fn page(result: impl Serialize, result_info: impl Serialize) -> Self {
        Self::success(Some(result), Some(result_info), &[])
    }

    /// 200 with an envelope that has no result.
    pub(super) fn acknowledged() -> Self {
        Self::success(None::<()>, None::<()>, &[])
    }

    fn success(
        result: Option<impl Serialize>,
        result_info: Option<impl Serialize>,
        messages: &[Value],
    ) -> Self {
        let envelope = Envelope {
            result,
            success: true,
            errors: &[],
            messages,
            result_info,
        };
        match serde_json::to_vec(&envelope) {
            Ok(body) => Self {
                status: StatusCode::OK,
                body,
                allow: None,
                retry_after: None,
            },
            Err(error) => {
                let message = format!("The simulator could not write its answer: {error}.");
                Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, 10500, &message)
            }
        }
    }

    /// A list that says that it has one more entry than it has.
    pub(super) fn with_one_less(self) -> Self {
        let Ok(mut envelope) = serde_json::from_slice::<Value>(&self.body) else {
            return self;
        };
        let entries = envelope["result"].as_array().map_or(0, Vec::len);
        envelope["result_info"] =
            json!({"count": entries, "page": 1, "per_page": entries, "total_count": entries + 1});
        Self {
            body: envelope.to_string().into_bytes(),
            ..self
        }
    }

    /// A failure with one error.
    pub(super) fn refusal(status: StatusCode, code: u32, message: &str) -> Self {
        Self::failure(status, json!({"code": code, "message": message}))
    }

    fn failure(status: StatusCode, error: Value) -> Self {
        let body = json!({"result": null, "success": false, "errors": [error], "messages": []});
        Self {
            status,
            body: body.to_string().into_bytes(),
            allow: None,
            retry_after: None,
        }
    }

    /// 400: a body, field or parameter is not as documented. `pointer` says which, as a JSON pointer.
    pub(super) fn invalid(pointer: &str, message: &str) -> Self {
        Self::failure(
            StatusCode::BAD_REQUEST,
            json!({"code": 10400, "message": message, "source": {"pointer": pointer}}),
        )
    }

    /// 400: a header is not as documented; the cause hangs in a chain of its own.
    pub(super) fn invalid_header(code: u32, message: &str) -> Self {
        let chain = json!([{"code": code, "message": message}]);
        Self::failure(
            StatusCode::BAD_REQUEST,
            json!({"code": 6003, "message": "Invalid request headers", "error_chain": chain}),
        )
    }

    /// 404: no such path, or no such object.
    pub(super) fn not_found(path: &str) -> Self {
        let message =
            format!("Could not route to {path}, perhaps your object identifier is invalid?");
        Self::refusal(StatusCode::NOT_FOUND, 7003, &message)
    }

    /// 405: the path is there, the method is not.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let refusal = Self::refusal(StatusCode::METHOD_NOT_ALLOWED, 10405, "Method not allowed");
        Self {
            allow: Some(allow),
            ..refusal
        }
    }

    /// 429: over the rate limit, for so many seconds.
    pub(super) fn throttled(seconds: u64) -> Self {
        let refusal = Self::refusal(
            StatusCode::TOO_MANY_REQUESTS,
            971,
            "Please wait and consider throttling your request speed",
        );
        Self {
            retry_after: Some(seconds),
            ..refusal
        }
    }
}
