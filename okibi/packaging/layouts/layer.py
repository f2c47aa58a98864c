"""Arrange a package as a layer: okibi and the requirements, while a function's zip is its own code.

    /opt/okibi-bootstrap     the exec wrapper: AWS_LAMBDA_EXEC_WRAPPER=/opt/okibi-bootstrap
    /opt/okibi/lib/          okibi and what it needs
    /opt/python/             the requirements, where Lambda's Python looks for those of layers

The order of `sys.path` is that of AWS's runtime: the function's folder, then /opt/python, then
what okibi brings.
"""

from ..staging import Staged

WRAPPER = "okibi-bootstrap"


def arrange_layer(staged: Staged) -> None:
    """Move the files of a package to where a layer has them; the folder becomes /opt.

    Args:
        staged: the package, without the user's own files.
    """
    folder = staged.folder
    moved = folder.with_name("layer")
    for path in sorted(folder.iterdir()):
        place = moved / place_in_layer(path.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    folder.rmdir()
    moved.replace(folder)


def place_in_layer(name: str) -> str:
    """Return where a layer has a file of a package.

    >>> [place_in_layer(name) for name in ("bootstrap", "lib/trio/__init__.py", "boto3/utils.py")]
    ['okibi-bootstrap', 'okibi/lib/trio/__init__.py', 'python/boto3/utils.py']
    """
    if name == "bootstrap":
        return WRAPPER
    return f"okibi/{name}" if name.partition("/")[0] == "lib" else f"python/{name}"


def place_in_package(name: str) -> str:
    """Return the path in a package of a layer's file: the reverse of `place_in_layer`.

    >>> [place_in_package(name) for name in ("okibi-bootstrap", "okibi/lib/x.py", "python/x.py")]
    ['bootstrap', 'lib/x.py', 'x.py']
    """
    return "bootstrap" if name == WRAPPER else name.partition("/")[2]
