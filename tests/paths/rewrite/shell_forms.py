"""The ways in which shell scripts name a path, and what is suggested for each. `S` is the other machine's checkout.

None: nothing is suggested. `ROOT` in `lines` stands for the line that is put at the top.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT = 'repo_root=$(CDPATH= cd -- "$(dirname -- "$(readlink -f -- "$0")")/../../.." && pwd) || exit 1'


@dataclass(frozen=True)
class ShellForm:
    """One form: the first line and the body of a script, and what the body becomes."""

    name: str
    source: str
    write: str | None
    first: str = "#!/bin/bash\n"


def _form(name: str, source: str, write: str | None = None, *, first: str = "#!/bin/bash\n") -> ShellForm:
    return ShellForm(name, source, write, first)


def _rooted(name: str, source: str, write: str, *, first: str = "#!/bin/bash\n") -> ShellForm:
    return ShellForm(name, source, f"{ROOT}\n{write}", first=first)


OWN = 'TOP="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"\n'
HERE = 'HERE=$(dirname "$(readlink -f "$0")")\n'
UP = 'TOP=$(cd "$HERE/../../.." >/dev/null 2>&1 && pwd -P)\n'

SHELL_FORMS = [
    _rooted("assignment", 'M=$S/zoo/m\necho "$M"', 'M="$repo_root"/zoo/m\necho "$M"'),
    _rooted("plain sh", 'M=$S/zoo/m\necho "$M"', 'M="$repo_root"/zoo/m\necho "$M"', first="#!/bin/sh\n"),
    _rooted("the root itself", 'M=$S\necho "$M"', 'M="$repo_root"\necho "$M"'),
    _rooted("double quotes", 'M="$S/zoo/$((1+1))"\necho "$M"', 'M="$repo_root/zoo/$((1+1))"\necho "$M"'),
    _rooted("the root in double quotes", 'M="$S"\necho "$M"', 'M="$repo_root"\necho "$M"'),
    _rooted("a list", 'P="$S:$S/zoo"\necho "$P"', 'P="${repo_root}:$repo_root/zoo"\necho "$P"'),
    _rooted("a list of words", "P=$S/a:$S/b\nenv echo $P", 'P="$repo_root"/a:"$repo_root"/b\nenv echo $P'),
    _rooted("single quotes", "M='$S/zoo/m'\necho \"$M\"", 'M="$repo_root/zoo/m"\necho "$M"'),
    _rooted("single quotes around signs", 'M=\'$S/zoo/$x"\'\necho "$M"', 'M="$repo_root"\'/zoo/$x"\'\necho "$M"'),
    _rooted("single quotes around more", "M='--m=$S/z$'\necho \"$M\"", "M='--m='\"$repo_root\"'/z$'\necho \"$M\""),
    _rooted("argument", "ls $S/zoo", 'ls "$repo_root"/zoo'),
    _rooted("pattern", "ls $S/zoo/*/config.json", 'ls "$repo_root"/zoo/*/config.json'),
    _rooted("braces", "ls -d $S/{zoo,sage}", 'ls -d "$repo_root"/{zoo,sage}'),
    _rooted("option", "env printf %s --m=$S/zoo", 'env printf %s --m="$repo_root"/zoo'),
    _rooted("variable behind it", "x=zoo; ls $S/$x", 'x=zoo; ls "$repo_root"/$x'),
    _rooted("default", 'M=${M:-$S/zoo}\nenv echo "$M"', 'M=${M:-"$repo_root"/zoo}\nenv echo "$M"'),
    _rooted("default in quotes", 'env echo "${M:-$S/zoo}"', 'env echo "${M:-$repo_root/zoo}"'),
    _rooted("default in its own quotes", 'M=${M:-"$S/zoo"}\nenv echo "$M"', 'M=${M:-"$repo_root/zoo"}\nenv echo "$M"'),
    _rooted("command in quotes", 'env echo "$(ls $S/zoo)"', 'env echo "$(ls "$repo_root"/zoo)"'),
    _rooted("after a change of directory", "cd $S/zoo\nls $S/zoo", 'cd "$repo_root"/zoo\nls "$repo_root"/zoo'),
    _rooted("in a function", "f() { ls $S/zoo; }\ncd /\nf", 'f() { ls "$repo_root"/zoo; }\ncd /\nf'),
    _rooted("array", 'A=($S/a "$S/b")\nenv echo "${A[@]}"', 'A=("$repo_root"/a "$repo_root/b")\nenv echo "${A[@]}"'),
    _rooted("redirection", "cat <$S/zoo/m/config.json", 'cat <"$repo_root"/zoo/m/config.json'),
    _rooted("loop", "for f in $S/zoo/*; do ls $f; done", 'for f in "$repo_root"/zoo/*; do ls $f; done'),
    _rooted("beside other letters", 'A=é M="$S/zoo"\nls "$M"', 'A=é M="$repo_root/zoo"\nls "$M"'),
    _rooted("command line", 'bash -c "cd $S && ls zoo"', 'bash -c "cd $repo_root && ls zoo"'),
    _form("comments first", "# $S\n\nset -eu\nls $S/zoo", f'# $S\n\n{ROOT}\nset -eu\nls "$repo_root"/zoo'),
    _form("a root of its own", f"{OWN}ls $S/zoo", f'{OWN}ls "$TOP"/zoo'),
    _form("a root in two steps", f'{HERE}{UP}ls "$S/zoo"', f'{HERE}{UP}ls "$TOP/zoo"'),
    _form("a deeper root of its own", f"{HERE}cat $S/sage/raising/scripts/run.sh", f'{HERE}cat "$HERE"/run.sh'),
    _form(
        "a name that is taken",
        "repo_root=x\nls $S/zoo",
        ROOT.replace("repo_root", "repo_root_2") + '\nrepo_root=x\nls "$repo_root_2"/zoo',
    ),
    _rooted("blanks in quotes", 'M="$S/my zoo/m"\nls "$M"', 'M="$repo_root/my zoo/m"\nls "$M"'),
    _rooted("blanks in single quotes", "ls '$S/my zoo'", 'ls "$repo_root/my zoo"'),
    _rooted("blanks behind backslashes", "ls $S/my\\ zoo", 'ls "$repo_root"/my\\ zoo'),
    # nothing is suggested
    _form("a root set twice", f"{OWN}TOP=/\nls $S/zoo", f'{ROOT}\n{OWN}TOP=/\nls "$repo_root"/zoo'),
    _form("a name that goes on", "ls $S$x/zoo"),
    _form("a path that goes on", 'ls "${x}$S/zoo" "$x"$S/zoo'),
    _form("another machine", 'ssh sprout "ls $S/zoo"'),
    _form("a copy from another machine", "scp -r sprout:$S/zoo ."),
    _form("a text to look for", "sed -i s,$S/zoo,x, a.txt"),
    _form("a container", "docker run -v $S/zoo:/zoo x"),
    _form("backquotes", "M=`ls $S/zoo`"),
    _form("escapes", "M=$'$S/zoo\\n'"),
    _form("here-document", "cat <<E\n$S/zoo\nE"),
    _form("question", "[ -d $S/zoo ] || exit"),
    _form("what is said", "echo $S/zoo"),
    _form("a batch job", "#SBATCH -n 1\nls $S/zoo"),
    _form("not here", "ls /home/sprout/else/where/x"),
    _form("Windows lines", "ls $S/zoo\r\n"),
    _form("no syntax", "if [ ; then\n((( $S/zoo\n"),
]
