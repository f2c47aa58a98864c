"""Write what a team makes its own okibi runtime from (customer-managed runtimes, November 2026).

    Dockerfile
    bootstrap                becomes /var/runtime/bootstrap, and is the image's entry point
    okibi/lib/               becomes /var/runtime/okibi/lib: okibi and what it needs
    okibi/python/            the requirements that all functions share, if there are any
    runtime.yaml             CloudFormation: the runtime, a version of it, and an alias

Functions then stay plain zips of their code and requirements, with `Runtime: custom`. A function's
own requirements and layers go before those of the image on `sys.path`.

Where Lambda looks for `bootstrap` in such an image was not seen by okibi's authors. The image
answers in both places that AWS uses elsewhere.
"""

import shutil
from pathlib import Path

from ..project import RESULT
from ..staging import Staged
from .image_context import base_image, close_context, move_into, open_context

DOCKERFILE = """\
{made_by}
# In this folder:
#
#   docker build -t okibi-runtime .
{base}
COPY okibi/ /var/runtime/okibi/
COPY bootstrap /var/runtime/bootstrap
ENTRYPOINT ["/var/runtime/bootstrap"]
"""
TEMPLATE = """\
# A customer-managed runtime (AWS Lambda, November 2026), made by okibi package.
#
#   IMAGE=ACCOUNT.dkr.ecr.REGION.amazonaws.com/okibi-runtime:v1
#   aws ecr create-repository --repository-name okibi-runtime
#   docker tag okibi-runtime $IMAGE && docker push $IMAGE
#   aws cloudformation deploy --template-file runtime.yaml --stack-name okibi-runtime \\
#     --parameter-overrides ImageUri=$IMAGE Version=v1
#
# A function uses it by `Runtime: custom` and
#   RuntimeConfig: {{RuntimeArn: (output RuntimeArn), RuntimeAlias: live}}
#
# To release the next image, deploy with another ImageUri and Version. Functions take it at their
# next cold start. The old version stays. To go back:
#   aws lambda-core update-runtime-alias --runtime-name okibi-python{python} --name live \\
#     --runtime-version v1
AWSTemplateFormatVersion: "2010-09-09"
Description: A Lambda runtime with okibi for Python {python}
Parameters:
  ImageUri:
    Type: String
    Description: The image in Amazon ECR
  Version:
    Type: String
    Description: The name of the version; a new image needs a new name
    AllowedPattern: "[A-Za-z0-9_]([A-Za-z0-9_.-]{{0,126}}[A-Za-z0-9_])?"
  Name:
    Type: String
    Default: okibi-python{python}
    AllowedPattern: "[a-z0-9]([a-z0-9_.-]{{0,126}})?[a-z0-9]"
  Alias:
    Type: String
    Default: live
    AllowedPattern: "[A-Za-z0-9_]([A-Za-z0-9_.-]{{0,126}}[A-Za-z0-9_])?"
Resources:
  Runtime:
    Type: AWS::Lambda::Runtime
    Properties:
      Name:
        Ref: Name
      Description: okibi for Python {python}
  RuntimeVersion:
    Type: AWS::Lambda::RuntimeVersion
    DependsOn: Runtime
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties:
      RuntimeName:
        Ref: Name
      Name:
        Ref: Version
      ImageUri:
        Ref: ImageUri
  RuntimeAlias:
    Type: AWS::Lambda::RuntimeAlias
    DependsOn: RuntimeVersion
    Properties:
      RuntimeName:
        Ref: Name
      Name:
        Ref: Alias
      RuntimeVersion:
        Ref: Version
Outputs:
  RuntimeArn:
    Value:
      Fn::Sub: >-
        arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:runtime/${{Name}}
  RuntimeAlias:
    Value:
      Ref: Alias
"""


def write_runtime(staged: Staged, output: Path) -> None:
    """Write Dockerfile, context and template.

    Args:
        staged: the package, without the user's own files. Its files are moved.
        output: the folder to write.

    Raises:
        BadInput: the folder holds something else.
    """
    open_context(output)
    shutil.move(staged.folder / "bootstrap", output / "bootstrap")
    (output / "okibi").mkdir()
    shutil.move(staged.lib, output / "okibi" / "lib")
    if any(staged.folder.iterdir()):
        move_into(staged.folder, output / "okibi" / "python")
    text = DOCKERFILE.format(made_by=RESULT, base=base_image(staged.target))
    (output / "Dockerfile").write_text(text, "utf-8")
    template = TEMPLATE.format(python=staged.target.python_version)
    (output / "runtime.yaml").write_text(template, "utf-8")
    close_context(output)
