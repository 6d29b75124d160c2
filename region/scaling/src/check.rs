//! Holds a call's document against the shape that the model has for it.

use serde_json::{Map, Value};

use crate::error::ScalingError;

/// An operation that is offered.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) input: &'static Shape,
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Shape {
    Structure(&'static [Member]),
    List(&'static Shape),
    Map(&'static Shape, &'static Shape),
    Text {
        least: usize,
        most: Option<usize>,
        values: &'static [&'static str],
    },
    Integer,
    Double,
    Boolean,
    /// Whoever takes it looks.
    Any,
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// The most faults that are told of a document, as AWS does.
const FAULTS_MAX: usize = 10;

/// Reads and checks the document of a call.
pub(crate) fn read(operation: &Operation, body: &[u8]) -> Result<Map<String, Value>, ScalingError> {
    let malformed = || ScalingError::new("SerializationException", "The request body is not a JSON object");
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    let Ok(Value::Object(input)) = serde_json::from_slice(body) else {
        return Err(malformed());
    };
    let mut faults = Vec::new();
    let input = Value::Object(input);
    check(operation.input, &input, "", &mut faults)?;
    if faults.is_empty() {
        let Value::Object(input) = input else {
            return Err(malformed());
        };
        return Ok(input);
    }
    let (count, plural) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    let text = format!("{count} validation error{plural} detected: {}", faults.join("; "));
    Err(ScalingError::validation(text))
}

fn check(shape: &Shape, value: &Value, path: &str, faults: &mut Vec<String>) -> Result<(), ScalingError> {
    let wrong = || {
        let text = format!("The value at '{path}' is of another type");
        Err(ScalingError::new("SerializationException", text))
    };
    match (shape, value) {
        (Shape::Structure(members), Value::Object(given)) => {
            for member in *members {
                let path = below(path, member.name);
                match given.get(member.name).filter(|value| !value.is_null()) {
                    Some(value) => check(member.shape, value, &path, faults)?,
                    None if member.required => fault(faults, "null", &path, "Member must not be null"),
                    None => {}
                }
            }
        }
        (Shape::List(member), Value::Array(all)) => {
            for (place, value) in all.iter().enumerate() {
                check(member, value, &format!("{path}.{}.member", place + 1), faults)?;
            }
        }
        (Shape::Map(key, of), Value::Object(all)) => {
            for (name, value) in all {
                check(key, &Value::String(name.clone()), path, faults)?;
                check(of, value, &format!("{path}.{name}.member"), faults)?;
            }
        }
        (Shape::Text { least, most, values }, Value::String(text)) => {
            let (shown, length) = (format!("'{text}'"), text.chars().count());
            if length < *least {
                let rule = format!("Member must have length greater than or equal to {least}");
                fault(faults, &shown, path, &rule);
            }
            if let Some(most) = most.filter(|most| length > *most) {
                let rule = format!("Member must have length less than or equal to {most}");
                fault(faults, &shown, path, &rule);
            }
            if !values.is_empty() && !values.contains(&text.as_str()) {
                let rule = format!("Member must satisfy enum value set: [{}]", values.join(", "));
                fault(faults, &shown, path, &rule);
            }
        }
        (Shape::Integer, Value::Number(number)) if number.as_i64().is_some() => {}
        (Shape::Double, Value::Number(_)) | (Shape::Boolean, Value::Bool(_)) | (Shape::Any, _) => {}
        _ => return wrong(),
    }
    Ok(())
}

fn fault(faults: &mut Vec<String>, value: &str, path: &str, rule: &str) {
    if faults.len() < FAULTS_MAX {
        faults.push(format!(
            "Value {value} at '{path}' failed to satisfy constraint: {rule}"
        ));
    }
}

fn below(path: &str, name: &str) -> String {
    // Paths are written as Java names members.
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let name: String = first.into_iter().chain(letters).collect();
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::generated::OPERATIONS;

    fn text(name: &str, body: &Value) -> String {
        let operation = OPERATIONS.iter().find(|known| known.name == name).unwrap();
        match read(operation, body.to_string().as_bytes()) {
            Ok(_) => String::new(),
            Err(error) => format!("{}: {}", error.code, error.message),
        }
    }

    #[test]
    fn faults_are_told_as_aws_does() {
        let good = json!({
            "ServiceNamespace": "dynamodb", "ResourceId": "table/t",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits", "MinCapacity": 1, "Tags": {"a": ""}
        });
        assert_eq!(text("RegisterScalableTarget", &good), "");
        let mut bad = good.clone();
        bad["ScalableDimension"] = json!("x");
        bad["ResourceId"] = Value::Null;
        let told = text("RegisterScalableTarget", &bad);
        assert!(told.starts_with(
            "ValidationException: 2 validation errors detected: Value null at 'resourceId' failed to satisfy constraint: \
             Member must not be null; Value 'x' at 'scalableDimension' failed to satisfy constraint: Member must satisfy enum \
             value set: ["
        ));
        bad["MinCapacity"] = json!("one");
        assert!(text("RegisterScalableTarget", &bad).starts_with("SerializationException"));
        let policy = json!({
            "PolicyName": "", "ServiceNamespace": "dynamodb", "ResourceId": "table/t",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
            "TargetTrackingScalingPolicyConfiguration": {"PredefinedMetricSpecification": {}}
        });
        let told = text("PutScalingPolicy", &policy);
        assert!(
            told.contains("at 'policyName'") && told.contains("length greater than or equal to 1"),
            "{told}"
        );
        assert!(
            told.contains("'targetTrackingScalingPolicyConfiguration.targetValue'"),
            "{told}"
        );
        let metric = "predefinedMetricSpecification.predefinedMetricType'";
        assert!(told.contains(metric), "{told}");
    }
}
