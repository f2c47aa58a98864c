%%% Who writes down what happens, in the order in which it happens.
%%%
%%% Everybody reports by a call, so nothing a process does after it has reported can be written
%%% before it. An end is written when it says more than its `term` did: a process that was killed
%%% had none, and one that left its `terminate` by an exit ended with another reason.
-module(witness).
-export([start/0, stop/0, say/1, started/1, next/1, watch/2, ready/2, release/0, take/0, pid/1,
         label/1]).

%% The tables: how often each id has been started, and who is called what.
start() ->
    ets:new(starts, [named_table, public]),
    ets:new(labels, [named_table, public]),
    Pid = spawn_link(fun() -> process_flag(priority, high), loop([], #{}, []) end),
    register(witness, Pid),
    Pid.

stop() ->
    ask(stop),
    ets:delete(starts),
    ets:delete(labels).

%% Which start of this id this one is.
next(Id) ->
    ets:update_counter(starts, Id, 1, {Id, 0}).

started(Id) ->
    case ets:lookup(starts, Id) of
        [{_, Number}] -> Number;
        [] -> 0
    end.

say(Text) -> ask({say, iolist_to_binary(Text)}).

%% This process is called so from now on, and its end is of interest.
watch(Label, Pid) ->
    ets:insert(labels, [{Pid, Label}, {Label, Pid}]),
    ask({watch, Pid}).

%% Somebody waits until it is told to go on.
ready(Pid, Ref) -> ask({ready, Pid, Ref}).

%% Let everybody go on who waits; whether there was somebody.
release() -> ask(release).

%% What has been written since this was last asked.
take() -> ask(take).

label(Pid) ->
    case ets:lookup(labels, Pid) of
        [{_, Label}] -> Label;
        [] -> <<"somebody">>
    end.

%% The process that was last started under this id.
pid(Id) ->
    pid(Id, started(Id)).

pid(Id, Number) when Number > 0 ->
    case ets:lookup(labels, words:label(Id, Number)) of
        [{_, Pid}] -> Pid;
        [] -> pid(Id, Number - 1)
    end;
pid(Id, 0) ->
    [{_, Pid}] = ets:lookup(labels, Id),
    Pid.

ask(Request) ->
    Ref = monitor(process, witness),
    witness ! {Request, self(), Ref},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer
    end.

%% Log is newest first; Terms holds each process's own last word; Waiting who waits.
loop(Log, Terms, Waiting) ->
    receive
        {Request, From, Ref} ->
            {Answer, Log1, Waiting1} = answer(Request, Log, Waiting),
            From ! {Ref, Answer},
            Terms1 = case Request of
                {say, <<"term ", _/binary>> = Text} -> Terms#{From => Text};
                _ -> Terms
            end,
            Request =:= stop orelse loop(Log1, Terms1, Waiting1);
        {'DOWN', _, process, Pid, Reason} ->
            Said = [words:term(label(Pid)), " ", words:term(Reason)],
            case maps:get(Pid, Terms, none) =:= iolist_to_binary(["term ", Said]) of
                true -> loop(Log, Terms, Waiting);
                false -> loop([iolist_to_binary(["down ", Said]) | Log], Terms, Waiting)
            end
    end.

answer({say, Text}, Log, Waiting) -> {ok, [Text | Log], Waiting};
answer({watch, Pid}, Log, Waiting) -> monitor(process, Pid), {ok, Log, Waiting};
answer({ready, Pid, Ref}, Log, Waiting) -> {ok, Log, [{Pid, Ref} | Waiting]};
answer(release, Log, Waiting) ->
    [Pid ! Ref || {Pid, Ref} <- Waiting],
    {Waiting =/= [], Log, []};
answer(take, Log, Waiting) -> {lists:reverse(Log), [], Waiting};
answer(stop, Log, Waiting) -> {ok, Log, Waiting}.
