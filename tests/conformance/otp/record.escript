#!/usr/bin/env escript
%%! +S 1:1 -kernel logger_level none
%%% Runs the scenarios on Erlang/OTP and records what happens.
%%%
%%%     escript record.escript FOLDER
%%%
%%% reads scenarios/THEME.json beside this file and writes FOLDER/THEME.json. One scheduler runs
%%% everything (+S 1:1), so an empty run queue says that all processes wait, and the order of what
%%% happens does not change from run to run.
-mode(compile).

main([To]) ->
    load_all(),
    Here = filename:dirname(filename:absname(escript:script_name())),
    [load(File) || File <- filelib:wildcard(filename:join([Here, "erlang", "*.erl"]))],
    Themes = lists:sort(filelib:wildcard(filename:join([Here, "scenarios", "*.json"]))),
    [record(File, filename:join(To, filename:basename(File))) || File <- Themes].

%% A process that waits for its code, or for logger's note on its module, to be there for the first
%% time looks as if it waited for an event.
load_all() ->
    Modules = lists:append([Found || App <- [kernel, stdlib],
                                     {ok, Found} <- [application:get_key(App, modules)]]),
    ok = code:ensure_modules_loaded(Modules),
    [logger:allow(error, Module) || Module <- Modules].

load(File) ->
    {ok, Module, Code} = compile:file(File, [binary, report, warnings_as_errors]),
    {module, Module} = code:load_binary(Module, File, Code).

record(From, To) ->
    {ok, Text} = file:read_file(From),
    Said = [recorded(Name, Lines) || {Name, Lines} <- scenario:run_all(Text)],
    Version = ["  \"OTP\": ", json:encode(iolist_to_binary(version()))],
    ok = file:write_file(To, ["{\n", lists:join(",\n", [Version | Said]), "\n}\n"]).

recorded(Name, Lines) ->
    Body = lists:join(",\n", [["    ", json:encode(Line)] || Line <- Lines]),
    ["  ", json:encode(Name), ": [\n", Body, "\n  ]"].

version() ->
    Release = erlang:system_info(otp_release),
    File = filename:join([code:root_dir(), "releases", Release, "OTP_VERSION"]),
    case file:read_file(File) of
        {ok, Version} -> string:trim(Version);
        {error, _} -> Release
    end.
