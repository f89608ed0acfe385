//! Rejections as real servers word them, and the adaptations they lead to.

use super::*;
use net::NetError;

fn rejection(body: &str) -> RequestError {
    let body = serde_json::from_str(body).unwrap_or_else(|_| serde_json::json!({"error": body}));
    RequestError::Net(NetError::from_error_body(&body))
}

fn full_shape() -> RequestShape {
    let mut settings = OpenAiSettings::openai(None);
    settings.temperature = Some(0.5);
    RequestShape::from_settings(&settings)
}

#[test]
fn rejections_lead_to_adaptations() {
    for (body, expected) in [
        (
            "Unrecognized request argument supplied: stream_options",
            Adaptation::DropUsage,
        ),
        (
            "Unknown parameter: 'reasoning_effort'.",
            Adaptation::DropEffort,
        ),
        (
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}"#,
            Adaptation::DropUsage,
        ),
        (
            r#"{"detail":[{"loc":["body","reasoning_effort"],"msg":"extra fields not permitted","type":"value_error.extra"}]}"#,
            Adaptation::DropEffort,
        ),
        (
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#,
            Adaptation::DropUsage,
        ),
        (
            r#"{"message":"Invalid request","code":400,"metadata":{"errors":["stream_options is not supported"]}}"#,
            Adaptation::DropUsage,
        ),
        (
            r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"temperature is odd\"}}"}}}"#,
            Adaptation::DropTemperature,
        ),
        (
            r#"{"error":{"message":"\"llama3\" does not support thinking","type":"invalid_request_error"}}"#,
            Adaptation::DropEffort,
        ),
        (
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: 'low', 'medium', and 'high'.",
            Adaptation::ChangeEffort,
        ),
        (
            "reasoning_effort: Input should be 'low', 'medium' or 'high'",
            Adaptation::ChangeEffort,
        ),
        (
            "Unsupported parameter: 'reasoning_effort' is not supported with this model.",
            Adaptation::DropEffort,
        ),
        ("reasoning_effort is not supported", Adaptation::DropEffort),
        ("invalid option: reasoning_effort", Adaptation::DropEffort),
        (
            "Invalid parameter: reasoning_effort must be one of low, medium, high",
            Adaptation::ChangeEffort,
        ),
        (
            "Unsupported parameter: 'temperature' is not supported with this model unless 'reasoning_effort' is 'none'.",
            Adaptation::DropTemperature,
        ),
        (
            "Unknown parameter: 'max_completion_tokens'.",
            Adaptation::SwapTokenField,
        ),
        (
            "max_completion_tokens is too large: 800. This model supports at most 512.",
            Adaptation::ReduceAnswerTokens,
        ),
        (
            "This model does not support streaming",
            Adaptation::DropStream,
        ),
        (
            r#"{"detail":"Extra inputs are not permitted"}"#,
            Adaptation::DropAllOptional,
        ),
        (
            "Conversation roles must alternate user/assistant/user/assistant/...",
            Adaptation::AlternateRoles,
        ),
        (
            "After the optional system message, conversation roles must alternate user/assistant",
            Adaptation::AlternateRoles,
        ),
        ("System role not supported", Adaptation::MergeSystemPrompt),
        (
            "Developer instruction is not enabled for models/gemma-3-27b-it",
            Adaptation::MergeSystemPrompt,
        ),
        (
            "Only user and assistant roles are supported!",
            Adaptation::MergeSystemPrompt,
        ),
    ] {
        assert_eq!(
            adaptation_for(&full_shape(), &rejection(body)),
            Some(expected),
            "{body}"
        );
    }
    for body in [
        "the question is impolite",
        r#"{"error":{"message":"You exceeded your quota: stream_options","code":"insufficient_quota"}}"#,
        r#"{"error":{"message":"maximum context length is 4096 tokens, max_completion_tokens is 800","code":"context_length_exceeded"}}"#,
    ] {
        assert_eq!(
            adaptation_for(&full_shape(), &rejection(body)),
            None,
            "{body}"
        );
    }
}

#[test]
fn no_rejected_shape_is_sent_again() {
    let adaptations = Adaptations::default();
    let mut sent = Vec::new();
    for message in [
        "stream_options?",
        "Unsupported value: reasoning_effort 'none'",
        "Unknown parameter: reasoning_effort",
        "temperature?",
        "Unknown parameter: max_completion_tokens",
        "Unknown parameter: max_tokens",
        "must alternate",
        "must alternate",
        "streaming is not supported",
    ] {
        let shape = adaptations.apply(full_shape());
        assert!(!sent.contains(&shape), "{message}");
        assert!(
            adaptations.learn_from(&shape, &rejection(message)),
            "{message}"
        );
        sent.push(shape);
    }
    let shape = adaptations.apply(full_shape());
    assert_eq!(
        shape,
        RequestShape {
            token_field: None,
            answer_tokens: 800,
            reasoning_effort: None,
            send_temperature: false,
            stream: false,
            include_usage: false,
            roles: RoleSupport::NoSystem,
        }
    );
    for message in [
        "must alternate",
        "Unknown parameter: max_tokens",
        "stream_options?",
    ] {
        assert!(
            !adaptations.learn_from(&shape, &rejection(message)),
            "{message}"
        );
    }
}

#[test]
fn the_answer_limit_is_halved_down_to_a_minimum() {
    let adaptations = Adaptations::default();
    let message = "max_completion_tokens is too large";
    let mut limits = Vec::new();
    loop {
        let shape = adaptations.apply(full_shape());
        limits.push(shape.answer_tokens);
        if !adaptations.learn_from(&shape, &rejection(message)) {
            break;
        }
    }
    assert_eq!(limits, [800, 400, 200, 100, 50, 25]);
}
