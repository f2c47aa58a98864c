"""Intrinsic functions of a template: what this machine knows, and what it does not."""

from typing import Any

import pytest

from okibi.dev.templates.template_file import parse_document, parse_template
from okibi.dev.templates.values import TemplateValues, TooManySteps, UnknownValue, check_parameters
from okibi.project.bad_input import BadInput

TEMPLATE = """
Parameters:
  Stage: {Type: String, Default: test, AllowedValues: [test, live]}
  Secret: {Type: String, NoEcho: true}
  Names: {Type: CommaDelimitedList, Default: "a, b"}
  Image: {Type: "AWS::SSM::Parameter::Value<String>", Default: /path}
Mappings:
  Levels: {test: {Level: debug}, live: {Level: info}}
Conditions:
  IsTest: !Equals [!Ref Stage, test]
  IsLive: !Not [!Condition IsTest]
  Both: !And [!Condition IsTest, !Condition IsLive]
  Either: !Or [!Condition IsTest, !Condition IsLive]
Resources:
  Visits: {Type: AWS::Serverless::Function, Properties: {FunctionName: !Sub "${Stage}-visits"}}
  Plain: {Type: AWS::Lambda::Function}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Plain, Name: live}}
  Table: {Type: AWS::DynamoDB::Table}
  Named: {Type: AWS::DynamoDB::Table, Properties: {TableName: orders}}
  Queue: {Type: AWS::SQS::Queue}
  Hidden: {Type: AWS::SNS::Topic, Condition: IsLive}
  Circle: {Type: AWS::S3::Bucket, Properties: {BucketName: !Ref Circle}}
"""


def values(**parameters: str) -> TemplateValues:
    return TemplateValues(parse_template(TEMPLATE)[0], parameters, "shop", "eu-central-1")


def parse(expression: str) -> Any:
    template, _ = parse_template(f"Resources: {{A: {{Value: {expression}}}}}")
    return template["Resources"]["A"]["Value"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1.10", "1.10"),
        ("yes", "yes"),
        ("!Ref Stage", "test"),
        ("!Ref AWS::Region", "eu-central-1"),
        ("!Ref AWS::StackId", "arn:aws:cloudformation:eu-central-1:012345678912:stack/shop/0"),
        ("!Ref Visits", "test-visits"),
        ("!Ref Plain", "Plain"),
        ("!Ref Visits.Alias", "arn:aws:lambda:us-east-1:012345678912:function:test-visits"),
        ("!Ref Live", "arn:aws:lambda:us-east-1:012345678912:function:Plain"),
        ("!GetAtt Visits.Arn", "arn:aws:lambda:us-east-1:012345678912:function:test-visits"),
        ("{Fn::GetAtt: [Plain, Arn]}", "arn:aws:lambda:us-east-1:012345678912:function:Plain"),
        ("!Ref Table", "Table"),
        ("!GetAtt Named.Arn", "arn:aws:dynamodb:eu-central-1:012345678912:table/orders"),
        ("!Ref Queue", "https://sqs.eu-central-1.amazonaws.com/012345678912/Queue"),
        ("!Sub '${AWS::StackName}-${!Name}-${Stage}'", "shop-${Name}-test"),
        ("!Sub ['${A}-${Named}', {A: !Ref Stage}]", "test-orders"),
        ("!Sub '${Named.Arn}'", "arn:aws:dynamodb:eu-central-1:012345678912:table/orders"),
        ("!Join ['-', [a, !Ref Stage]]", "a-test"),
        ("!Join ['+', !Ref Names]", "a+b"),
        ("!Select [1, !Split [',', 'a,b']]", "b"),
        ("!FindInMap [Levels, !Ref Stage, Level]", "debug"),
        ("!FindInMap [Levels, gone, Level, {DefaultValue: !Ref Stage}]", "test"),
        ("!If [IsTest, 1, 2]", "1"),
        ("!If [Both, 1, !If [Either, 3, 4]]", "3"),
        ("{A: !Ref AWS::NoValue, B: [!Ref AWS::NoValue, 1]}", {"B": ["1"]}),
    ],
)
def test_a_value_that_this_machine_knows_is_resolved(expression: str, value: object) -> None:
    assert values().resolve(parse(expression)) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("!Ref Secret", "parameter Secret has no default; give --parameter Secret=VALUE"),
        ("!Ref Image", "parameter Image is read from SSM; give --parameter Image=VALUE"),
        ("!Ref Missing", "Missing is neither a parameter nor a resource"),
        ("!ImportValue other", "Fn::ImportValue is known on AWS only"),
        ("!GetAtt Table.StreamArn", "Table.StreamArn is known on AWS only"),
        ("'{{resolve:ssm:/path:1}}'", "{{resolve:ssm:...}} is read on AWS only"),
        ("!Select [7, [a]]", "Fn::Select has wrong arguments"),
        ("!FindInMap [Levels, gone, Level]", "Fn::FindInMap has wrong arguments"),
        ("!If [Missing, 1, 2]", "there is no condition Missing"),
        ("!Ref Circle", "it refers to itself"),
    ],
)
def test_an_unknown_value_says_why(expression: str, reason: str) -> None:
    with pytest.raises(UnknownValue) as caught:
        values().resolve(parse(expression))

    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("!If [IsTest, {A: !If [IsLive, 1, 2]}, 3]", {"A": "2"}),
        ("{A: !If [IsLive, 1, !Ref AWS::NoValue], B: [!Ref AWS::NoValue]}", {"B": []}),
        ("{A: !If [Missing, 1, 2]}", {"A": {"Fn::If": ["Missing", "1", "2"]}}),
    ],
)
def test_a_condition_chooses_whole_properties(expression: str, chosen: object) -> None:
    assert values().choose(parse(expression)) == chosen


def test_a_parameter_of_the_command_line_wins_over_its_default() -> None:
    found = values(Stage="live", Secret="s")

    assert found.resolve(parse("!Sub '${Stage} ${Secret}'")) == "live s"
    assert "Hidden" in found.resources()
    assert "Hidden" not in values().resources()


def test_a_value_that_a_parameter_does_not_allow_is_refused() -> None:
    with pytest.raises(BadInput, match="--parameter Stage: must be one of test, live"):
        check_parameters(parse_template(TEMPLATE)[0], {"Stage": "dev"})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--parameter Stge: .* it has Stage, Secret, Names, Image"):
        check_parameters(parse_template(TEMPLATE)[0], {"Stge": "live"})


def test_anchors_and_merge_keys_are_expanded() -> None:
    text = "Common: &c {A: 1, B: 2}\nResources: {R: {<<: *c, B: 3}}"

    assert parse_template(text)[0]["Resources"] == {"R": {"A": "1", "B": "3"}}


LAUGHS = "".join(f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 9)}]\n" for i in range(9))
MERGED = "".join(f"x{i + 1}: &x{i + 1} {{<<: [{', '.join([f'*x{i}'] * 9)}]}}\n" for i in range(9))
CHAIN = "".join(f"x{i + 1}: &x{i + 1} [*x{i}]\n" for i in range(200))
DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("text", "reason"),
    [(f"x0: &x0 [a, b]\n{LAUGHS}", "has over 100,000 values with those of its aliases, up to line"),
     (f"x0: &x0 {{a: b}}\n{MERGED}", "has over 100,000 values with those of its aliases"),
     ("A: &a\n  B: *a", r"\*a in line 2 contains itself; write the value without an alias"),
     ("A: &a {<<: *a}", r"\*a in line 1 contains itself"),
     (f"x0: &x0 [a]\n{CHAIN}", "has over 100 levels of mappings and lists; make it flatter"),
     (f"A: {DEEP}", "has over 100 levels of mappings and lists; make it flatter"),
     (f'{{"A": {DEEP}}}', "has over 100 levels of mappings and lists; make it flatter"),
     (f'{{"A": {"[" * 200}{"]" * 200}}}', "has over 100 levels")],
    ids=["laughs", "merged", "circle", "merged circle", "chain", "deep", "deep json", "json"],
)  # fmt: skip
def test_a_template_without_end_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_document(text)


def make_values(resources: str, conditions: str = "") -> TemplateValues:
    text = f"Conditions: {{{conditions}}}\nResources: {{{resources}}}"
    return TemplateValues(parse_template(text)[0], {}, "shop", "eu-central-1")


def test_values_that_refer_to_each_other_without_end_are_refused() -> None:
    conditions = [f"C{i}: !And [{', '.join([f'!Condition C{i + 1}'] * 9)}]" for i in range(9)]
    wide = make_values(
        "R: {Type: T, Condition: C0}", ", ".join([*conditions, "C9: !Equals [a, a]"])
    )

    with pytest.raises(TooManySteps, match="takes over 200,000 steps"):
        wide.resources()


def test_a_condition_that_refers_to_itself_is_unknown() -> None:
    circle = make_values("R: {Type: T, Condition: A}", "A: !Not [!Condition A]")

    assert [*circle.resources()] == ["R"]


def test_a_text_grows_no_longer_than_a_template() -> None:
    long = "x" * 300_000
    values = make_values("A: {Type: T}")

    for value in (
        {"Fn::Sub": ["${A}${A}${A}${A}", {"A": long}]},
        {"Fn::Join": [long, ["a", "b", "c", "d"]]},
    ):
        with pytest.raises(UnknownValue, match="it is longer than a template may be"):
            values.resolve(value)


def test_duplicate_keys_are_found_with_their_lines() -> None:
    template, duplicates = parse_template("Resources:\n  A: {T: 1}\n  B: [{T: 1, T: 2}]\n  A: 3")

    assert template["Resources"] == {"A": "3", "B": [{"T": "2"}]}
    assert duplicates == ["T in line 3", "A in line 4"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Resources: {A: [", "not YAML (.* in line 1)"),
        ("Name: x", "has no Resources"),
        ('{"Resources": ', "not JSON"),
        ("", "has no Resources"),
    ],
)
def test_a_text_that_is_no_template_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_template(text)
