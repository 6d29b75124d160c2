#!/usr/bin/env python3
"""Writes region/api/src/generated/ from botocore's service models of DynamoDB and DynamoDB Streams.

Run by hand, from anywhere, when a newer model is wanted; the output is committed:

    python3 -m venv /tmp/botocore && /tmp/botocore/bin/pip install botocore
    /tmp/botocore/bin/python region/api/generator/generate.py

What is generated is data about the wire: the shapes, their members, their constraints. What decoding, encoding and
validating mean is written by hand in region/api/src/wire/. Shapes that one operation alone uses stand in that
operation's file, the others in shared_*.rs. Attribute values and maps of them are geodynamo-item's own types.
"""

import gzip
import json
import pathlib
import re
import shutil
import subprocess
import sys

import botocore

OUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "generated"
SERVICES = ("dynamodb", "dynamodbstreams")
VERSION = "2012-08-10"
LINE_MAX = 600
# Shapes that are geodynamo-item's types, and never generated.
ATTRIBUTE_VALUE = "AttributeValue"
# DynamoDB prints some enum value sets in an order of its own (the order of a Java hash set); clients and their tests
# have seen these. Any other set is printed in the model's order.
PRINTED_ORDER = {
    "AttributeAction": "ADD, DELETE, PUT",
    "ComparisonOperator": "IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS",
    "ConditionalOperator": "OR, AND",
    "ProjectionType": "ALL, INCLUDE, KEYS_ONLY",
    "ReturnConsumedCapacity": "INDEXES, TOTAL, NONE",
    "ReturnItemCollectionMetrics": "SIZE, NONE",
    "ReturnValue": "ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW",
    "ScalarAttributeType": "B, N, S",
    "Select": "SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES",
}
# The model's patterns and the matchers in wire/pattern.rs that stand for them. A pattern that is not here stops the
# generator: write its matcher first.
PATTERNS = {
    r"\p{Print}+": "Printable",
    r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*": "Text",
    r"[a-zA-Z0-9_.-]+": "Name",
    r"([0-9a-f]{16})+": "HexWords",
    r"^[^\$]+$": "NoDollar",
    r"[,;:|\t ]": "CsvDelimiter",
    r"[\x20-\x21\x23-\x2B\x2D-\x7E]*": "CsvHeader",
    r"^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$": "Bucket",
    r"[0-9]{12}": "Account",
}
# Constraints that DynamoDB does not hold requests to with the others, but later, in words of its own.
CHECKED_LATER = {"BatchGetRequestMap": ("min",), "BatchWriteItemRequestMap": ("min",), "ExpressionAttributeNameMap": ("value",)}
# Members whose attribute values are read with refusals of their own: shape and member, and the reader in wire/attribute.rs.
READERS = {
    ("ExpressionAttributeValueMap", "ExpressionAttributeValues"): "expression_values",
    ("Key", "ExclusiveStartKey"): "starting_key",
}
RUST_KEYWORDS = {"type", "match", "ref", "move", "use", "in", "where", "impl", "enum", "static"}


def main():
    models = {service: load(service) for service in SERVICES}
    model = Model(models)
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    files = {"operation": operation_file(model), "rules": rules_file(model), "exceptions": exceptions_file(model)}
    placed = model.placed()
    for name, shapes in placed.items():
        files[name] = shapes_file(model, shapes)
    files["samples"] = samples_file(model)
    files["mod"] = mod_file(placed)
    for name, text in files.items():
        (OUT / f"{name}.rs").write_text(header(models) + text)
    subprocess.run(["rustfmt", "--edition", "2024", "--config", "max_width=120", *sorted(OUT.glob("*.rs"))], check=True)
    print(f"{len(files)} files, {len(model.operations)} operations, {len(model.structures())} structures")


def load(service):
    path = pathlib.Path(botocore.__path__[0]) / "data" / service / VERSION / "service-2.json"
    if path.exists():
        return without_documentation(json.loads(path.read_text()))
    with gzip.open(f"{path}.gz", "rt") as file:
        return without_documentation(json.load(file))


def without_documentation(node):
    if isinstance(node, dict):
        return {key: without_documentation(value) for key, value in node.items() if key != "documentation"}
    if isinstance(node, list):
        return [without_documentation(value) for value in node]
    return node


class Model:
    def __init__(self, models):
        self.shapes = {}
        self.operations = []  # (name, target prefix, input shape, output shape or None)
        for service in SERVICES:
            model = models[service]
            for name, shape in model["shapes"].items():
                if self.shapes.setdefault(name, shape) != shape:
                    sys.exit(f"{name} differs between the models")
            prefix = model["metadata"]["targetPrefix"]
            for name, operation in sorted(model["operations"].items()):
                output = operation.get("output", {}).get("shape")
                self.operations.append((name, prefix, operation["input"]["shape"], output))
        self.operations.sort()

    def kind(self, name):
        return self.shapes[name]["type"]

    def is_item(self, name):
        shape = self.shapes[name]
        return shape["type"] == "map" and shape["value"]["shape"] == ATTRIBUTE_VALUE

    def children(self, name):
        if name == ATTRIBUTE_VALUE or self.is_item(name):
            return []
        shape = self.shapes[name]
        children = [member["shape"] for member in shape.get("members", {}).values()]
        children += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]
        return children

    def reachable(self, roots):
        found, todo = set(), list(roots)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.children(name)
        return found

    def structures(self):
        roots = [shape for operation in self.operations for shape in operation[2:] if shape]
        roots += [name for name, shape in self.shapes.items() if shape.get("exception")]
        return sorted(
            name
            for name in self.reachable(roots)
            if self.kind(name) == "structure" and name != ATTRIBUTE_VALUE and not self.shapes[name].get("exception")
        )

    def inputs(self):
        return self.reachable(operation[2] for operation in self.operations)

    def placed(self):
        """File name → structures: an operation's own ones, and the shared ones in files by their initials."""
        users = {}
        for name, _, input_shape, output_shape in self.operations:
            for shape in self.reachable(filter(None, (input_shape, output_shape))):
                users.setdefault(shape, set()).add(name)
        placed = {}
        shared = []
        for structure in self.structures():
            using = users.get(structure, set())
            if len(using) == 1:
                placed.setdefault(snake(next(iter(using))), []).append(structure)
            else:
                shared.append(structure)
        lines, part = 0, []
        for structure in shared:
            size = 30 + 5 * len(self.shapes[structure]["members"])
            if part and lines + size > LINE_MAX:
                placed[f"shared_{part[0][0].lower()}{snake(part[0])[1:]}"] = part
                lines, part = 0, []
            lines += size
            part.append(structure)
        if part:
            placed[f"shared_{snake(part[0])}"] = part
        return dict(sorted(placed.items()))

    def rust_type(self, name):
        shape = self.shapes[name]
        if name == ATTRIBUTE_VALUE:
            return "AttributeValue"
        if self.is_item(name):
            return "Item"
        match shape["type"]:
            case "structure":
                return name
            case "string":
                return "CompactString"
            case "integer":
                return "i32"
            case "long":
                return "i64"
            case "double" | "float" | "timestamp":
                return "f64"
            case "boolean":
                return "bool"
            case "list":
                return f"Vec<{self.rust_type(shape['member']['shape'])}>"
            case "map":
                return f"BTreeMap<CompactString, {self.rust_type(shape['value']['shape'])}>"
        sys.exit(f"{name}: a type that is not known: {shape['type']}")

    def rule(self, name):
        """The Rust expression of a shape's constraints; None if it has none."""
        shape = self.shapes[name]
        if name == ATTRIBUTE_VALUE or self.is_item(name):
            return None
        shape = {key: value for key, value in shape.items() if key not in CHECKED_LATER.get(name, ())}
        low, high = number(shape.get("min")), number(shape.get("max"))
        match shape["type"]:
            case "string":
                if "enum" in shape:
                    return f"Rule::Enum(&{strings(printed_order(name, shape))})"
                if name == "TableArn":
                    return "Rule::TableArn"
                pattern = shape.get("pattern")
                if pattern is None and low == high == "None":
                    return None
                if pattern is not None and pattern not in PATTERNS:
                    sys.exit(f"{name}: write a matcher for {pattern!r} in wire/pattern.rs")
                pattern = f"Some(Pattern::{PATTERNS[pattern]})" if pattern else "None"
                return f"Rule::Text {{ min: {low}, max: {high}, pattern: {pattern} }}"
            case "integer" | "long":
                return None if low == high == "None" else f"Rule::Number {{ min: {low}, max: {high} }}"
            case "list":
                element = self.rule_name(shape["member"]["shape"])
                if low == high == element == "None":
                    return None
                return f"Rule::List {{ min: {low}, max: {high}, element: {element} }}"
            case "map":
                key, value = (self.rule_name(shape[part]["shape"]) if part in shape else "None" for part in ("key", "value"))
                if low == high == key == value == "None":
                    return None
                return f"Rule::Map {{ min: {low}, max: {high}, key: {key}, value: {value} }}"
        return None

    def rule_name(self, name):
        return "None" if self.rule(name) is None else f"Some(&rules::{snake(name).upper()})"

    def holds_structure(self, name):
        """Whether a value of the shape has structures in it, whose members have constraints of their own."""
        shape = self.shapes[name]
        if name == ATTRIBUTE_VALUE or self.is_item(name):
            return False
        match shape["type"]:
            case "structure":
                return bool(self.checked_members(name))
            case "list":
                return self.holds_structure(shape["member"]["shape"])
            case "map":
                return self.holds_structure(shape["value"]["shape"])
        return False

    def checked_members(self, name):
        shape = self.shapes[name]
        required = set(shape.get("required", ()))
        return [
            member
            for member, definition in shape["members"].items()
            if member in required
            or self.rule(definition["shape"]) is not None
            or self.holds_structure(definition["shape"])
        ]

    def sample(self, name, full, depth=0):
        """A valid value; with every member if `full`, else with the required ones."""
        shape = self.shapes[name]
        if name == ATTRIBUTE_VALUE:
            return {"S": "x"}
        low = shape.get("min", 0)
        match shape["type"]:
            case "structure":
                required = shape.get("required", ())
                return {
                    member: self.sample(definition["shape"], full, depth + 1)
                    for member, definition in shape["members"].items()
                    if full or member in required
                }
            case "string":
                return sample_text(name, shape)
            case "integer" | "long":
                return max(low, 1)
            case "double" | "float" | "timestamp":
                return 1600000000.25
            case "boolean":
                return True
            case "list":
                return [self.sample(shape["member"]["shape"], full, depth + 1)] * max(low, 1)
            case "map":
                return {"name": self.sample(shape["value"]["shape"], full, depth + 1)}
        sys.exit(f"{name}: no sample")


def sample_text(name, shape):
    if "enum" in shape:
        return shape["enum"][0]
    match PATTERNS.get(shape.get("pattern")):
        case "HexWords":
            return "0123456789abcdef" * max(1, -(-shape.get("min", 0) // 16))
        case "CsvDelimiter":
            return ","
        case "Account":
            return "012345678901"
    return "name" + "x" * max(0, shape.get("min", 0) - 4)


def printed_order(name, shape):
    if name not in PRINTED_ORDER:
        return shape["enum"]
    order = PRINTED_ORDER[name].split(", ")
    if sorted(order) != sorted(shape["enum"]):
        sys.exit(f"{name} has new values: {shape['enum']}")
    return order


def header(models):
    operations = " + ".join(str(len(models[service]["operations"])) for service in SERVICES)
    return (
        f"// @generated by region/api/generator/generate.py from botocore {botocore.__version__}'s service models of\n"
        f"// {' and '.join(SERVICES)} {VERSION} ({operations} operations). Do not edit.\n\n"
    )


def operation_file(model):
    names = [name for name, *_ in model.operations]
    rows = "".join(f"/// `{name}`\n{name},\n" for name in names)
    all_rows = "".join(f"Operation::{name}," for name in names)
    target_rows = "".join(
        f"{quoted(f'{prefix}.{name}')} => Operation::{name},\n" for name, prefix, *_ in model.operations
    )
    check_rows = "".join(
        f"Operation::{name} => checked::<{input_shape}>(body).map(drop),\n"
        for name, _, input_shape, _ in model.operations
    )
    return f"""use super::*;
use crate::{{errors::ApiError, wire::checked}};

/// An operation of the service models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {{
{rows}}}

impl Operation {{
    /// Every operation, sorted by name.
    pub const ALL: [Self; {len(names)}] = [{all_rows}];

    /// Every operation's name: of `operation` it is `NAMES[operation as usize]`.
    pub const NAMES: [&'static str; {len(names)}] = {strings(names)};

    /// The operation that the `X-Amz-Target` header names; `None` if the models have no such operation.
    pub fn from_target(target: &str) -> Option<Self> {{
        Some(match target {{
            {target_rows} _ => return None,
        }})
    }}

    /// The operation's name.
    pub const fn name(self) -> &'static str {{
        Self::NAMES[self as usize]
    }}

    /// Decodes a request of the operation and checks the models' constraints.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), ApiError> {{
        match self {{ {check_rows} }}
    }}
}}
"""


def rules_file(model):
    rules = {}
    for name in sorted(model.inputs()):
        rule = model.rule(name)
        if rule is not None:
            rules[name] = rule.replace("rules::", "")
    text = "//! Constraints of the shapes that requests are made of.\n\nuse crate::wire::{Pattern, Rule};\n\n"
    for name, rule in rules.items():
        text += f"/// `{name}`\npub(crate) static {snake(name).upper()}: Rule = {rule};\n"
    return text


def exceptions_file(model):
    rows = ""
    for name, shape in sorted(model.shapes.items()):
        if shape.get("exception"):
            message = next(member for member in shape["members"] if member.lower() == "message")
            rows += f"({quoted(name)}, {quoted(message)}, {str(bool(shape.get('fault'))).lower()}),\n"
    count = rows.count("\n")
    return f"""//! The models' exceptions, for the error catalogue's test.

/// Name, the message's member, whether it is the server's fault.
pub(crate) const EXCEPTIONS: [(&str, &str, bool); {count}] = [{rows}];
"""


def shapes_file(model, structures):
    inputs = model.inputs()
    body = "".join(structure(model, name, name in inputs) for name in structures)
    uses = "use super::*;\n"
    outside = [
        ("std::collections::BTreeMap", "BTreeMap<"),
        ("compact_str::CompactString", "CompactString"),
    ]
    uses += "".join(f"use {path};\n" for path, mark in outside if mark in body)
    item = [name for name in ("AttributeValue", "Item") if re.search(rf"\b{name}>", body)]
    uses += f"use geodynamo_item::{{{', '.join(item)}}};\n" if item else ""
    uses += "use geodynamo_json::{Reader, Writer};\n"
    names = ["Checker", "DecodeContext", "Decoded", "JavaText", "Structure", *READERS.values(), "member", "skip", "write_member"]
    used = [name for name in names if re.search(rf"\b{name}\b", body)]
    if "rules::" not in body and not any(re.search(rf"\b{name}\b", body) for name in model.structures() if name not in structures):
        uses = uses.replace("use super::*;\n", "")
    return uses + f"use crate::wire::{{{', '.join(used)}}};\n\n" + body


def structure(model, name, checked):
    shape = model.shapes[name]
    fields = decode = encode = check = show = ""
    required = set(shape.get("required", ()))
    checked_members = model.checked_members(name) if checked else ()
    for member, definition in shape["members"].items():
        field = field_name(member)
        fields += f"/// `{member}`\npub {field}: Option<{model.rust_type(definition['shape'])}>,\n"
        read = READERS.get((definition["shape"], member), "member")
        decode += f"{quoted(member)} => {read}(&mut self.{field}, reader, context),\n"
        encode += f"write_member({quoted(member)}, &self.{field}, writer);\n"
        path = member[0].lower() + member[1:]
        show += f"({quoted(path)}, &self.{field}),"
        if member in checked_members:
            rule = model.rule_name(definition["shape"])
            need = "required" if member in required else "optional"
            check += f"checker.{need}({quoted(path)}, &self.{field}, {rule});\n"
    count = len(shape["members"])
    decode = f"match name {{ {decode} _ => skip(reader), }}" if count else "skip(reader)"
    text = f"/// `{name}`\n#[derive(Clone, Debug, Default, PartialEq)]\npub struct {name} {{ {fields} }}\n\n"
    text += f"impl Structure for {name} {{\nconst NAME: &'static str = {quoted(name)};\n\n"
    context = "context" if count else "_context"
    text += f"fn decode_member(&mut self, {'name' if count else '_name'}: &str, reader: &mut Reader<'_>, "
    text += f"{context}: &mut DecodeContext) -> Decoded<()> {{ {decode} }}\n\n"
    writer = "writer" if count else "_writer"
    text += f"fn encode_members(&self, {writer}: &mut Writer) {{ {encode} }}\n\n"
    if check:
        text += f"fn check_members(&self, checker: &mut Checker<'_>) {{ {check} }}\n\n"
    if checked:
        if count:
            text += f"fn show_members(&self, text: &mut JavaText) {{ text.members(&[{show}]); }}\n"
    return text + "}\n\n"


def samples_file(model):
    rows = ""
    for name, _, input_shape, output_shape in model.operations:
        for shape, full in ((input_shape, False), (input_shape, True), (output_shape, True)):
            if shape:
                sample = json.dumps(model.sample(shape, full), separators=(",", ":"))
                what = f"{shape}, {'every member' if full else 'required members'}"
                rows += f"Sample {{ what: {quoted(what)}, operation: Operation::{name}, "
                rows += f"input: {str(shape == input_shape).lower()}, "
                rows += f"round_trip: round_trip::<{shape}>, json: r##\"{sample}\"## }},\n"
    count = rows.count("Sample {")
    return f"""//! A valid request and reply of every operation, for tests.

use super::*;
use crate::wire::testing::{{Sample, round_trip}};

/// Requests with the required members only, requests with every member, replies with every member.
pub(crate) const SAMPLES: [Sample; {count}] = [{rows}];
"""


def mod_file(placed):
    text = "//! The wire shapes of DynamoDB and DynamoDB Streams, and the constraints on them.\n\n"
    modules = sorted([*placed, "operation", "rules"])
    text += "#[cfg(test)]\npub(crate) mod exceptions;\n#[cfg(test)]\npub(crate) mod samples;\n"
    text += "".join(f"{'pub(crate) ' if name == 'rules' else ''}mod {name};\n" for name in modules)
    text += "\n" + "".join(f"pub use {name}::*;\n" for name in modules if name != "rules")
    return text


def field_name(member):
    name = snake(member)
    return f"r#{name}" if name in RUST_KEYWORDS else name


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def number(value):
    return "None" if value is None else f"Some({value})"


def strings(values):
    return "[" + ", ".join(quoted(value) for value in values) + "]"


def quoted(text):
    return json.dumps(text)


if __name__ == "__main__":
    main()
