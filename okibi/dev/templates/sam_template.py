"""Read the functions of a SAM or CloudFormation template, with their triggers.

What `okibi dev` cannot do is in `left_out`, and never skipped in silence.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from ...local.settings import RESERVED_VARIABLES, FunctionSettings
from ...project.bad_input import BadInput
from ...project.settings import check_handler
from ..dev_function import Cors, DevFunction, FunctionUrl, Route, Schedule
from ..left_out import LeftOut
from .cors import read_cors
from .function_code import find_code, has_module
from .template_file import FUNCTIONS, as_mapping, as_text
from .values import TemplateValues, UnknownValue

SAM = "AWS::Serverless::Function"
READ = frozenset(
    {
        *("FunctionName", "Handler", "CodeUri", "Code", "Timeout", "MemorySize", "Environment"),
        *("Runtime", "PackageType", "Architectures", "Description", "Events", "InlineCode"),
        *("FunctionUrlConfig", "ReservedConcurrentExecutions", "EventInvokeConfig", "SnapStart"),
        *("CapacityProviderConfig", "ImageUri", "ImageConfig", "Layers"),
    }
)
# Properties that change nothing that a function sees on this machine.
WITHOUT_EFFECT = frozenset(
    {
        *("Role", "RolePath", "Policies", "PermissionsBoundary", "AssumeRolePolicyDocument"),
        *("Tags", "PropagateTags", "Tracing", "TracingConfig", "LoggingConfig", "KmsKeyArn"),
        *("SourceKMSKeyArn", "CodeSigningConfigArn", "AutoPublishAlias", "AutoPublishCodeSha256"),
        *("AutoPublishAliasAllProperties", "VersionDeletionPolicy", "VersionDescription"),
        *("DeploymentPreference", "RuntimeManagementConfig", "RuntimeConfig", "RecursiveLoop"),
        *("ProvisionedConcurrencyConfig", "EphemeralStorage", "VpcConfig", "FunctionScalingConfig"),
        *("PublishToLatestPublished",),
    }
)
REASONS: Mapping[str, str] = {
    "DeadLetterQueue": "no queue; failed events go to the on-failure file",
    "DeadLetterConfig": "no queue; failed events go to the on-failure file",
    "FileSystemConfigs": "not mounted",
}
INSTALL = "install its packages where okibi runs"
LAYERS = ("AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion")
LAYER_ARN = re.compile(r":layer:([A-Za-z0-9_-]+)")
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
# Events at once in one execution environment of Managed Instances, as Python's default is.
MANAGED_CONCURRENCY = 16


@attrs.define(eq=False)
class TemplateFunction:
    """A function of a template, while the template is read.

    Args:
        logical_id: the logical id of the resource.
        settings: the function itself.
        kind: the type of the resource.
        properties: the properties, with those of Globals.
    """

    logical_id: str
    settings: FunctionSettings
    kind: str
    properties: Mapping[str, Any]
    runtime: str
    url: FunctionUrl = attrs.field(init=False, factory=FunctionUrl)
    routes: list[Route] = attrs.field(init=False, factory=list[Route])
    schedules: list[Schedule] = attrs.field(init=False, factory=list[Schedule])
    retries: int = attrs.field(init=False, default=2)
    age: int = attrs.field(init=False, default=21_600)


@attrs.define(eq=False)
class TemplateReader:
    """Reads a template.

    Args:
        folder: the template's folder.
        values: resolves expressions.
        unpacked: the parent folder of unpacked inline code and zips.
    """

    folder: Path
    values: TemplateValues
    unpacked: Path
    left_out: list[LeftOut] = attrs.field(init=False, factory=list[LeftOut])
    mistakes: list[str] = attrs.field(init=False, factory=list[str])
    # By logical id.
    functions: dict[str, TemplateFunction] = attrs.field(
        init=False, factory=dict[str, TemplateFunction]
    )
    # The CORS configurations of paths whose OPTIONS method a REST API answers itself.
    preflights: dict[str, Cors | None] = attrs.field(init=False, factory=dict[str, Cors | None])

    def leave_out(self, resource: str, reason: str) -> None:
        """Add something that `okibi dev` does not do."""
        self.left_out.append(LeftOut(resource, reason))

    def get(self, where: str, properties: Mapping[str, Any], key: str) -> Any:
        """Read a property; None if it is missing, or not known on this machine."""
        if key not in properties:
            return None
        try:
            found = self.values.resolve({key: properties[key]})
        except UnknownValue as error:
            self.leave_out(f"{where}.{key}", str(error))
            return None
        return found.get(key)

    def integer(self, where: str, properties: Mapping[str, Any], key: str, default: int) -> int:
        """Read an integer; CloudFormation takes its text too."""
        value = self.get(where, properties, key)
        if value is None:
            return default
        try:
            return int(value)
        except (TypeError, ValueError):
            self.mistakes.append(f"{where}.{key} = {value!r}: must be an integer")
            return default

    def text(self, where: str, properties: Mapping[str, Any], key: str, default: str = "") -> str:
        """Read a text."""
        value = self.get(where, properties, key)
        if isinstance(value, (dict, list)):
            shown = str(cast("object", value))[:80]
            self.mistakes.append(f"{where}.{key}: must be a text, got {shown!r}")
            return default
        return default if value is None else str(value)

    def mapping(self, where: str, properties: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Read a mapping; empty if it is missing."""
        value = properties.get(key)
        found = as_mapping(value)
        if value and not found:
            self.mistakes.append(f"{where}.{key}: must be a mapping, got {str(value)[:80]!r}")
        return found

    def cors(self, where: str, value: object) -> Cors | None:
        """Read a CORS configuration of any of AWS's forms."""
        try:
            return read_cors(self.values.resolve(value))
        except (UnknownValue, ValueError) as error:
            self.leave_out(where, str(error))
            return None

    def globals_of(self, section: str) -> dict[str, Any]:
        """The properties of a section of Globals."""
        sections = as_mapping(self.values.template.get("Globals"))
        return as_mapping(self.values.choose(sections.get(section)))

    # -- functions

    def read_functions(self) -> None:
        """Read every function, without its triggers."""
        globals_ = self.globals_of("Function")
        for logical_id, resource in self.values.resources().items():
            kind = as_text(resource.get("Type", ""))
            if kind not in FUNCTIONS:
                continue
            properties = as_mapping(resource.get("Properties"))
            if kind == SAM:
                properties = merge_globals(globals_, properties)
            function = self._read_function(logical_id, resource, properties)
            if function is not None:
                self.functions[logical_id] = function
                self._read_own_triggers(function)

    def _read_function(
        self, logical_id: str, resource: Mapping[str, Any], properties: Mapping[str, Any]
    ) -> TemplateFunction | None:
        runtime = self.text(logical_id, properties, "Runtime")
        handler = self.text(logical_id, properties, "Handler")
        if self.text(logical_id, properties, "PackageType") == "Image":
            self.leave_out(logical_id, "a container image; okibi dev serves folders of Python code")
            return None
        if properties.get("Handler") and not handler:
            self.leave_out(logical_id, "its Handler is not known on this machine")
            return None
        code = properties.get("CodeUri" if resource["Type"] == SAM else "Code", ".")
        if "InlineCode" in properties:
            code = {"ZipFile": properties["InlineCode"]}
        # With the runtime "provided", the code may be a program in another language.
        own_program = runtime.startswith(("provided", "custom"))
        if not own_program and not runtime.startswith("python"):
            self.leave_out(logical_id, f"Runtime {runtime or 'missing'}; only Python is served")
            return None
        try:
            check_handler(handler)
            folder, note = find_code(
                self.folder,
                self._resolve_code(code),
                as_mapping(resource.get("Metadata")),
                handler,
                self.unpacked / logical_id,
            )
        except ValueError as error:
            self.leave_out(logical_id, str(error))
            return None
        except BadInput as error:
            self.mistakes.append(f"{logical_id}.Handler: {error}")
            return None
        if own_program and not has_module(folder, handler):
            self.leave_out(logical_id, f"Runtime {runtime or 'missing'}; only Python is served")
            return None
        if note:
            self.leave_out(f"{logical_id}.CodeUri", note)
        for key in properties:
            if key not in READ and key not in WITHOUT_EFFECT:
                self.leave_out(f"{logical_id}.{key}", REASONS.get(key, "not emulated"))
        name = self.values.function_name(logical_id)
        asked = self.text(logical_id, properties, "FunctionName", name)
        if asked != name:
            self.leave_out(f"{logical_id}.FunctionName", f"{asked} is too long for a name")
        try:
            settings = FunctionSettings(
                handler,
                name=name,
                task_root=folder,
                timeout=float(self.integer(logical_id, properties, "Timeout", 3)),
                memory=self.integer(logical_id, properties, "MemorySize", 128),
                environment=self._add_layers(
                    logical_id, properties, self._read_environment(logical_id, properties)
                ),
                max_concurrency=self._read_managed_instances(logical_id, properties),
                snap_start=as_mapping(properties.get("SnapStart")).get("ApplyOn")
                == "PublishedVersions",
            )
        except ValueError as error:
            self.mistakes.append(f"{logical_id}: {error}")
            return None
        return TemplateFunction(logical_id, settings, resource["Type"], properties, runtime)

    def _resolve_code(self, code: object) -> object:
        try:
            return self.values.resolve(code)
        except UnknownValue:
            # Such as the bucket of the deployment.
            return as_mapping(code)

    def _read_environment(self, logical_id: str, properties: Mapping[str, Any]) -> dict[str, str]:
        where, found = f"{logical_id}.Environment", dict[str, str]()
        environment = self.mapping(logical_id, properties, "Environment")
        if environment and "Variables" not in environment:
            self.mistakes.append(f"{where}: has no Variables; write the variables below that key")
        for name, value in self.mapping(where, environment, "Variables").items():
            if name in RESERVED_VARIABLES:
                self.leave_out(f"{where}.{name}", "Lambda sets it itself")
            elif name == WRAPPER:
                if value != "/var/task/bootstrap":
                    self.leave_out(f"{where}.{name}", "not run; okibi's runtime is started")
            elif name.startswith("OKIBI_ENTITIES") and not str(value).startswith("sqlite:"):
                self.leave_out(f"{where}.{name}", "not used; okibi dev keeps entities in a file")
            else:
                try:
                    found[name] = self.values.text(value)
                except UnknownValue as error:
                    self.leave_out(f"{where}.{name}", f"{error}; --env-file can set it")
        return found

    def _add_layers(
        self, logical_id: str, properties: Mapping[str, Any], environment: dict[str, str]
    ) -> dict[str, str]:
        """Add the layers whose code is on this machine to PYTHONPATH."""
        paths = list[str]()
        layers: object = properties.get("Layers") or []
        for layer in cast("list[object]", layers) if isinstance(layers, list) else [layers]:
            name = as_text(as_mapping(layer).get("Ref", layer))
            folder = self._find_layer(self.values.resources().get(name, {}))
            if folder is None:
                self.leave_out(
                    f"{logical_id}.Layers", f"{layer_name(name)} is not added; {INSTALL}"
                )
            else:
                # A later layer overwrites the files of those before it.
                paths.insert(0, str(folder))
        if not paths:
            return environment
        own = filter(None, [environment.get("PYTHONPATH")])
        return {**environment, "PYTHONPATH": os.pathsep.join([*own, *paths])}

    def _find_layer(self, resource: Mapping[str, Any]) -> Path | None:
        """Find the folder of a layer's modules, if the layer is a folder of this template."""
        properties = as_mapping(resource.get("Properties"))
        uri = properties.get("ContentUri", properties.get("Content"))
        uri = as_mapping(resource.get("Metadata")).get("aws:asset:path", uri)
        if resource.get("Type") not in LAYERS or not isinstance(uri, str):
            return None
        folder = self.folder / uri
        python = folder / "python"
        # With a BuildMethod, SAM puts the folder itself into python/.
        found = python if python.is_dir() else folder
        has_modules = any(found.glob("*.py")) or any(found.glob("*/__init__.py"))
        return found.resolve() if has_modules else None

    def _read_managed_instances(self, logical_id: str, properties: Mapping[str, Any]) -> int | None:
        config = as_mapping(properties.get("CapacityProviderConfig"))
        if not config:
            return None
        inner = as_mapping(config.get("LambdaManagedInstancesCapacityProviderConfig")) or config
        key = "PerExecutionEnvironmentMaxConcurrency"
        where = f"{logical_id}.CapacityProviderConfig"
        return self.integer(where, inner, key, MANAGED_CONCURRENCY)

    def _read_own_triggers(self, function: TemplateFunction) -> None:
        """Read what a SAM function says of its URL and its asynchronous invocations."""
        logical_id = function.logical_id
        if url := self.mapping(logical_id, function.properties, "FunctionUrlConfig"):
            self.read_url(function, f"{logical_id}.FunctionUrlConfig", url)
        if config := self.mapping(logical_id, function.properties, "EventInvokeConfig"):
            self.read_invoke_config(function, f"{logical_id}.EventInvokeConfig", config)

    def read_url(
        self, function: TemplateFunction, where: str, properties: Mapping[str, Any]
    ) -> None:
        """Read the configuration of a function URL."""
        function.url = FunctionUrl(
            streaming=self.text(where, properties, "InvokeMode") == "RESPONSE_STREAM",
            cors=self.cors(f"{where}.Cors", properties["Cors"]) if "Cors" in properties else None,
        )

    def read_invoke_config(
        self, function: TemplateFunction, where: str, properties: Mapping[str, Any]
    ) -> None:
        """Read the retries of asynchronous invocations."""
        function.retries = self.integer(where, properties, "MaximumRetryAttempts", 2)
        function.age = self.integer(where, properties, "MaximumEventAgeInSeconds", 21_600)
        if "DestinationConfig" in properties:
            self.leave_out(
                f"{where}.DestinationConfig", "failed events go to the on-failure file; others end"
            )


def layer_name(text: str) -> str:
    """The name of a layer in its ARN or logical id.

    >>> layer_name("arn:aws:lambda:eu-central-1:1:layer:tools:3")
    'tools'
    """
    found = LAYER_ARN.search(text)
    return found[1] if found else text.partition("{")[0] or "a layer"


def merge_globals(globals_: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a function's properties into those of Globals (SAM).

    Mappings are merged, lists are joined, and for everything else the function's own value wins.

    >>> merge_globals({"Timeout": 3, "Tags": {"a": 1}}, {"Timeout": 5, "Tags": {"b": 2}})
    {'Timeout': 5, 'Tags': {'a': 1, 'b': 2}}
    """
    merged = dict(globals_)
    for key, value in own.items():
        before = merged.get(key)
        ours, theirs = as_mapping(before), as_mapping(value)
        if ours and theirs and not _is_expression(theirs):
            merged[key] = merge_globals(ours, theirs)
        elif isinstance(before, list) and isinstance(value, list):
            merged[key] = [*cast("list[object]", before), *cast("list[object]", value)]
        else:
            merged[key] = value
    return merged


def _is_expression(value: Mapping[str, Any]) -> bool:
    return any(key == "Ref" or key.startswith("Fn::") for key in value)


def build_functions(reader: TemplateReader) -> list[DevFunction]:
    """Build the functions that have been read; a mistake is added to the reader's."""
    found = list[DevFunction]()
    for logical_id, function in reader.functions.items():
        properties = function.properties
        reserved = reader.integer(logical_id, properties, "ReservedConcurrentExecutions", -1)
        architectures = reader.get(logical_id, properties, "Architectures") or ["x86_64"]
        try:
            found.append(
                DevFunction(
                    function.settings,
                    reserved_concurrency=None if reserved < 0 else reserved,
                    url=function.url,
                    routes=function.routes,
                    schedules=function.schedules,
                    maximum_retry_attempts=function.retries,
                    maximum_event_age=function.age,
                    description=reader.text(logical_id, properties, "Description"),
                    runtime=function.runtime,
                    architecture=str(architectures[0]),
                )
            )
        except ValueError as error:
            reader.mistakes.append(f"{logical_id}: {error}")
    return found
