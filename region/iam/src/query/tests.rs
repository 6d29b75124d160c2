use proptest::prelude::*;

use super::{form::Form, read, shape::Shape, xml};
use crate::{
    generated::{IAM, STS},
    query::{
        error::IamError,
        form::PARAMETERS_MAX,
        value::{Structure, Value},
    },
};

fn read_iam(action: &str, body: &str) -> Result<Structure, IamError> {
    let form = Form::read(body.as_bytes())?;
    read::input(IAM.operation(action).unwrap(), &form)
}

#[test]
fn operations_are_sorted_and_patterns_compile() {
    fn check(shape: &Shape, depth: usize) {
        assert!(depth < 16, "shapes do not hold themselves");
        match shape {
            Shape::Structure(members) => members.iter().for_each(|member| check(member.shape, depth + 1)),
            Shape::List(list) => check(list.member, depth + 1),
            Shape::Map(map) => check(map.value, depth + 1),
            Shape::Text(text) => assert!(text.pattern.is_none_or(super::shape::Pattern::compiles)),
            Shape::Integer(_) | Shape::Boolean | Shape::Time => {}
        }
    }
    for service in [&IAM, &STS] {
        assert!(service.operations.is_sorted_by_key(|operation| operation.name));
        for operation in service.operations {
            operation
                .input
                .into_iter()
                .chain(operation.output)
                .for_each(|shape| check(shape, 0));
        }
    }
}

#[test]
fn members_are_held_to_the_model() {
    for (action, body, message) in [
        (
            "CreateUser",
            "",
            "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "CreateUser",
            "UserName=a%20b&Path=x",
            "2 validation errors detected: Value 'x' at 'path' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: (\\u002F)|(\\u002F[\\u0021-\\u007E]+\\u002F); Value 'a b' at 'userName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+",
        ),
        (
            "CreateUser",
            "UserName=a&Tags.member.1.Key=k",
            "1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be \
             null",
        ),
        (
            "UpdateAccessKey",
            "AccessKeyId=AKIAAAAAAAAAAAAAAAAA&Status=Gone",
            "1 validation error detected: Value 'Gone' at 'status' failed to satisfy constraint: Member must satisfy enum \
             value set: [Active, Inactive, Expired]",
        ),
        (
            "ListUsers",
            "MaxItems=0",
            "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value \
             greater than or equal to 1",
        ),
        (
            "CreateRole",
            "RoleName=r&AssumeRolePolicyDocument=%7B%7D&MaxSessionDuration=60",
            "1 validation error detected: Value '60' at 'maxSessionDuration' failed to satisfy constraint: Member must have \
             value greater than or equal to 3600",
        ),
    ] {
        let error = read_iam(action, body).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            ("ValidationError", message),
            "{action} {body}"
        );
    }
    assert_eq!(
        read_iam("ListUsers", "MaxItems=many").unwrap_err().code,
        "MalformedInput"
    );
    assert_eq!(
        read_iam("ListUsers", "MaxItems=1&MaxItems=2").unwrap_err().code,
        "MalformedQueryString"
    );
    let many: String = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=&")).collect();
    assert_eq!(read_iam("ListUsers", &many).unwrap_err().code, "ValidationError");
}

#[test]
fn lists_are_in_the_order_of_their_numbers() {
    let input = read_iam(
        "SimulateCustomPolicy",
        "PolicyInputList.member.1=%7B%7D&ActionNames.member.10=s3%3Ac&ActionNames.member.2=s3%3Ab&ContextEntries.member.1.\
         ContextKeyName=aws%3Ax&ContextEntries.member.1.ContextKeyValues.member.1=v&ContextEntries.member.1.ContextKeyType=\
         string&ResourceArns=",
    )
    .unwrap();
    assert_eq!(input.texts("ActionNames").collect::<Vec<_>>(), ["s3:b", "s3:c"]);
    assert_eq!(input.get("ResourceArns"), Some(&Value::List(vec![])));
    let entry = input.structures("ContextEntries").next().unwrap();
    assert_eq!(entry.texts("ContextKeyValues").collect::<Vec<_>>(), ["v"]);
}

#[test]
fn answers() {
    let operation = IAM.operation("ListAccountAliases").unwrap();
    let output = Structure::new()
        .with("IsTruncated", false)
        .with("AccountAliases", vec!["a<b", "c&\u{1}\"d\""]);
    assert_eq!(
        xml::answer(&IAM, operation, &output, "id"),
        "<ListAccountAliasesResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListAccountAliasesResult>\
         <AccountAliases><member>a&lt;b</member><member>c&amp;\u{fffd}&quot;d&quot;</member></AccountAliases>\
         <IsTruncated>false</IsTruncated></ListAccountAliasesResult><ResponseMetadata><RequestId>id</RequestId>\
         </ResponseMetadata></ListAccountAliasesResponse>"
    );
    let operation = IAM.operation("DeleteUser").unwrap();
    assert_eq!(
        xml::answer(&IAM, operation, &Structure::new(), "id"),
        "<DeleteUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata><RequestId>id</RequestId>\
         </ResponseMetadata></DeleteUserResponse>"
    );
    assert_eq!(
        xml::refusal(&IAM, &IamError::no_such("nobody"), "id"),
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
         <Code>NoSuchEntity</Code><Message>nobody</Message></Error><RequestId>id</RequestId></ErrorResponse>"
    );
    assert_eq!(IamError::no_such("").status(&IAM), 404);
    assert_eq!(IamError::denied("").status(&STS), 403);
    assert_eq!(IamError::validation("").status(&IAM), 400);
    assert_eq!(IamError::internal("").status(&IAM), 500);
}

proptest! {
    #[test]
    fn any_form_is_read_or_refused(body in any::<Vec<u8>>(), action in 0..IAM.operations.len()) {
        if let Ok(form) = Form::read(&body) {
            let _ = read::input(&IAM.operations[action], &form);
        }
    }
}
