"""Resolve the intrinsic functions of a template, as far as this machine knows their values."""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import attrs

from ...local.settings import ACCOUNT_ID, arn_of
from ...project.bad_input import BadInput
from ...project.input_files import MAX_TEXT
from .template_file import FUNCTIONS, as_mapping, as_text

VARIABLE = re.compile(r"\$\{(!?)\s*([^}]*?)\s*\}")
DYNAMIC = re.compile(r"\{\{resolve:([a-z-]+):")
STACK_ID = "arn:aws:cloudformation:{}:{}:stack/{}/0"
# Characters of a function's name.
MAX_NAME = 64
# Nested functions and references; a circle of references ends there.
MAX_DEPTH = 50
# Values that are resolved for one template. The values of a large template are some 50,000.
MAX_STEPS = 200_000


class UnknownValue(Exception):
    """The value of a template is not known on this machine; the message says why."""


class TooManySteps(Exception):
    """The values of a template refer to each other too often."""


# The value of `AWS::NoValue`: the property is left out.
NO_VALUE = object()

# The property with the name of a resource, what Ref gives, and the attributes of Fn::GetAtt, where
# {0} is the name, {1} the region and {2} the account.
TABLE = ("TableName", "{0}", {"Arn": "arn:aws:dynamodb:{1}:{2}:table/{0}"})
NAMES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "AWS::DynamoDB::Table": TABLE,
    "AWS::DynamoDB::GlobalTable": TABLE,
    "AWS::Serverless::SimpleTable": TABLE,
    "AWS::S3::Bucket": ("BucketName", "{0}", {"Arn": "arn:aws:s3:::{0}"}),
    "AWS::SQS::Queue": (
        "QueueName",
        "https://sqs.{1}.amazonaws.com/{2}/{0}",
        {
            "Arn": "arn:aws:sqs:{1}:{2}:{0}",
            "QueueName": "{0}",
            "QueueUrl": "https://sqs.{1}.amazonaws.com/{2}/{0}",
        },
    ),
    "AWS::SNS::Topic": (
        "TopicName",
        "arn:aws:sns:{1}:{2}:{0}",
        {"TopicArn": "arn:aws:sns:{1}:{2}:{0}", "TopicName": "{0}"},
    ),
    "AWS::Events::EventBus": ("Name", "{0}", {"Arn": "arn:aws:events:{1}:{2}:event-bus/{0}"}),
    "AWS::Logs::LogGroup": ("LogGroupName", "{0}", {"Arn": "arn:aws:logs:{1}:{2}:log-group:{0}"}),
}


def check_parameters(template: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Check that each --parameter names a parameter of the template, and has an allowed value.

    Raises:
        BadInput: a parameter is unknown, or its value is not allowed.
    """
    known = as_mapping(template.get("Parameters"))
    for name, value in given.items():
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has no parameters"
            raise BadInput(f"--parameter {name}: the template has no such parameter; {has}")
        allowed = [as_text(each) for each in as_mapping(known[name]).get("AllowedValues", ())]
        if allowed and value not in allowed:
            raise BadInput(f"--parameter {name}: must be one of {', '.join(allowed)}")


def check_length(length: int) -> None:
    """Check the length of a text that is put together.

    Raises:
        UnknownValue: the text is too long.
    """
    if length > MAX_TEXT:
        raise UnknownValue("it is longer than a template may be")


@attrs.define(eq=False)
class TemplateValues:
    """The values of a template's expressions.

    Args:
        template: the template.
        parameters: the values of --parameter.
        stack_name: the value of `AWS::StackName`.
        region: the value of `AWS::Region`.
    """

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    stack_name: str
    region: str
    # The resources without a function that a value refers to, each with its name here.
    stand_ins: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    # The resources that the template leaves out, each with its condition.
    conditions_not_met: dict[str, str] = attrs.field(init=False, factory=dict[str, str])
    _resources: dict[str, dict[str, Any]] | None = attrs.field(init=False, default=None)
    _depth: int = attrs.field(init=False, default=0)
    _steps: int = attrs.field(init=False, default=0)

    def resolve(self, value: object) -> Any:
        """Resolve a value and everything in it.

        Raises:
            UnknownValue: a part of it is not known on this machine.
        """
        with self._one_deeper():
            return self._resolve(value)

    @contextmanager
    def _one_deeper(self) -> Generator[None]:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooManySteps(
                f"resolving its values takes over {MAX_STEPS:,} steps; let fewer values refer to"
                " each other"
            )
        if self._depth >= MAX_DEPTH:
            raise UnknownValue("it refers to itself")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def text(self, value: object) -> str:
        """Resolve a scalar to its text.

        Raises:
            UnknownValue: the value is not known, or not a scalar.
        """
        found = self.resolve(value)
        if isinstance(found, (dict, list)) or found is NO_VALUE:
            raise UnknownValue("it is not a text")
        return as_text(found)

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources of the template, without those whose condition is false."""
        if self._resources is None:
            self._resources = {}
            for name, value in as_mapping(self.template["Resources"]).items():
                resource = as_mapping(self.choose(value))
                condition = as_text(resource.get("Condition", ""))
                if condition and self._is_false(condition):
                    self.conditions_not_met[name] = condition
                else:
                    self._resources[name] = resource
        return self._resources

    def choose(self, value: object) -> Any:
        """Replace each `Fn::If` by the value that its condition chooses.

        What is `AWS::NoValue` then is left out. An `Fn::If` stays if its condition is not known on
        this machine.
        """
        if isinstance(value, list):
            items = map(self.choose, cast("list[object]", value))
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        mapping = cast("dict[str, object]", value)
        if mapping == {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        if [*mapping] == ["Fn::If"]:
            try:
                return self.choose(self._branch(mapping["Fn::If"]))
            except (UnknownValue, TypeError, ValueError):
                return mapping
        chosen = {key: self.choose(item) for key, item in mapping.items()}
        return {key: item for key, item in chosen.items() if item is not NO_VALUE}

    def function_name(self, logical_id: str) -> str:
        """The name of a function: its FunctionName, else its logical id."""
        properties = as_mapping(self._resource(logical_id).get("Properties"))
        if "FunctionName" not in properties:
            return logical_id
        try:
            name = self.text(properties["FunctionName"])
        except UnknownValue:
            return logical_id
        # The name of the stack may be shorter on AWS.
        return name if len(name) <= MAX_NAME else logical_id

    # -- expressions

    def _resolve(self, value: object) -> Any:
        if isinstance(value, list):
            items = [self.resolve(item) for item in cast("list[object]", value)]
            return [item for item in items if item is not NO_VALUE]
        if isinstance(value, str):
            if found := DYNAMIC.search(value):
                raise UnknownValue(f"{{{{resolve:{found[1]}:...}}}} is read on AWS only")
            return value
        if not isinstance(value, dict):
            return value
        mapping = cast("dict[str, object]", value)
        if len(mapping) == 1:
            ((key, argument),) = mapping.items()
            if key == "Ref":
                return self._ref(as_text(argument))
            if key.startswith("Fn::"):
                return self._call(key, argument)
        resolved = {key: self.resolve(item) for key, item in mapping.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def _call(self, key: str, argument: object) -> Any:
        functions: dict[str, Callable[[Any], Any]] = {
            "Fn::Sub": self._sub,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
        }
        function = functions.get(key)
        if function is None:
            raise UnknownValue(f"{key} is known on AWS only")
        try:
            return function(argument)
        except (TypeError, ValueError, LookupError) as error:
            raise UnknownValue(f"{key} has wrong arguments") from error

    def _ref(self, name: str) -> Any:
        pseudo = {
            "AWS::Region": self.region,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::StackName": self.stack_name,
            "AWS::StackId": STACK_ID.format(self.region, ACCOUNT_ID, self.stack_name),
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": NO_VALUE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in as_mapping(self.template.get("Parameters")):
            return self._parameter(name)
        # SAM's names of a function's alias and version.
        logical_id, _, suffix = name.partition(".")
        resource = self._resource(logical_id)
        if not resource:
            raise UnknownValue(f"{name} is neither a parameter nor a resource")
        kind, properties = resource.get("Type"), as_mapping(resource.get("Properties"))
        if kind in FUNCTIONS:
            own = self.function_name(logical_id)
            return arn_of(own) if suffix in ("Alias", "Version") else own
        if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            return self._arn_of_function(properties.get("FunctionName"))
        own, form, _ = self._name_of(logical_id, resource)
        self.stand_ins[logical_id] = own
        return form.format(own, self.region, ACCOUNT_ID)

    def _get_att(self, argument: Any) -> str:
        parts: Any = argument.split(".", 1) if isinstance(argument, str) else argument
        logical_id, attribute = as_text(parts[0]), ".".join(self.text(part) for part in parts[1:])
        resource = self._resource(logical_id)
        if resource.get("Type") in FUNCTIONS and attribute == "Arn":
            return arn_of(self.function_name(logical_id))
        if resource.get("Type") == "AWS::Lambda::Alias" and attribute == "AliasArn":
            return self._arn_of_function(as_mapping(resource.get("Properties")).get("FunctionName"))
        own, _, attributes = self._name_of(logical_id, resource)
        if attribute not in attributes:
            raise UnknownValue(f"{logical_id}.{attribute} is known on AWS only")
        self.stand_ins[logical_id] = own
        return attributes[attribute].format(own, self.region, ACCOUNT_ID)

    def _arn_of_function(self, function: object) -> str:
        name = self.text(function)
        return name if name.startswith("arn:") else arn_of(name)

    def _name_of(
        self, logical_id: str, resource: Mapping[str, Any]
    ) -> tuple[str, str, Mapping[str, str]]:
        """The name of a resource, the form of its Ref, and the forms of its attributes."""
        key, form, attributes = NAMES.get(resource.get("Type", ""), ("", "{0}", {}))
        properties = as_mapping(resource.get("Properties"))
        name = self.text(properties[key]) if key in properties else logical_id
        return name, form, attributes

    def _parameter(self, name: str) -> Any:
        parameter = as_mapping(self.template["Parameters"][name])
        kind = as_text(parameter.get("Type", "String"))
        if name in self.parameters:
            value = self.parameters[name]
        elif kind.startswith("AWS::SSM::"):
            raise UnknownValue(f"parameter {name} is read from SSM; give --parameter {name}=VALUE")
        elif "Default" in parameter:
            value = as_text(parameter["Default"])
        else:
            raise UnknownValue(f"parameter {name} has no default; give --parameter {name}=VALUE")
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            return [item.strip() for item in value.split(",")]
        return value

    def _sub(self, argument: Any) -> str:
        template, own = (argument, dict[str, Any]()) if isinstance(argument, str) else argument
        length = 0

        def replace(found: re.Match[str]) -> str:
            nonlocal length
            text = self._substitute(found, own)
            length += len(text)
            check_length(length)
            return text

        return as_text(self.resolve(VARIABLE.sub(replace, template)))

    def _substitute(self, variable: re.Match[str], own: Mapping[str, Any]) -> str:
        literal, name = variable.groups()
        if literal:
            return f"${{{name}}}"
        if name in own:
            return self.text(own[name])
        is_attribute = "." in name and not name.endswith((".Alias", ".Version"))
        return as_text(self._get_att(name) if is_attribute else self.text({"Ref": name}))

    def _join(self, argument: Any) -> str:
        separator, items = argument
        between, texts = as_text(separator), [as_text(item) for item in self.resolve(items)]
        check_length(sum(len(text) + len(between) for text in texts))
        return between.join(texts)

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return self.text(text).split(as_text(separator))

    def _select(self, argument: Any) -> Any:
        index, items = argument
        return self.resolve(items)[int(self.text(index))]

    def _find_in_map(self, argument: Any) -> Any:
        found: Any = self.template["Mappings"]
        try:
            for key in argument[:3]:
                found = found[self.text(key)]
        except LookupError:
            # With the transform AWS::LanguageExtensions.
            found = argument[3]["DefaultValue"]
        return self.resolve(found)

    # -- conditions

    def _if(self, argument: Any) -> Any:
        return self.resolve(self._branch(argument))

    def _branch(self, argument: Any) -> Any:
        name, when_true, when_false = argument
        return when_true if self._condition(as_text(name)) else when_false

    def _is_false(self, condition: str) -> bool:
        try:
            return not self._condition(condition)
        except UnknownValue:
            return False

    def _condition(self, name: str) -> bool:
        conditions = as_mapping(self.template.get("Conditions"))
        if name not in conditions:
            raise UnknownValue(f"there is no condition {name}")
        return self._decide(conditions[name])

    def _decide(self, value: Any) -> bool:
        with self._one_deeper():
            return self._match(value)

    def _match(self, value: Any) -> bool:
        match value:
            case {"Condition": name}:
                return self._condition(as_text(name))
            case {"Fn::Equals": [left, right]}:
                return self.text(left) == self.text(right)
            case {"Fn::And": parts}:
                return all(self._decide(part) for part in parts)
            case {"Fn::Or": parts}:
                return any(self._decide(part) for part in parts)
            case {"Fn::Not": [part]}:
                return not self._decide(part)
            case _:
                raise UnknownValue("its condition is known on AWS only")

    def _resource(self, logical_id: str) -> dict[str, Any]:
        return as_mapping(as_mapping(self.template["Resources"]).get(logical_id))
