%%% A gen_statem that does what its messages say, and the steps of scenarios about it.
%%%
%%% A message is an object: `say` is what it is called in the log, the other keys are what the
%%% callback does with it, in the order of `act`. A time-out is [milliseconds, message].
-module(machine).
-behaviour(gen_statem).
-export([request/2, callback_mode/0, init/1, handle_event/4, terminate/3]).

%% -- the steps

request([<<"start_link">>], Machine) ->
    fun() ->
        words:reply(scenario:by_parent(fun() -> gen_statem:start_link(?MODULE, Machine, []) end))
    end;
request([<<"call">>, Message | Timeout], _) ->
    fun() -> call(fun() -> apply(gen_statem, call, [pid(), Message | limit(Timeout)]) end) end;
request([<<"cast">>, Message], _) ->
    fun() -> gen_statem:cast(pid(), Message), null end;
request([<<"info">>, Message], _) ->
    fun() -> pid() ! Message, null end;
request([<<"sys:suspend">>], _) ->
    fun() -> words:reply(sys:suspend(pid())) end;
request([<<"sys:resume">>], _) ->
    fun() -> words:reply(sys:resume(pid())) end;
request([<<"stop">>], _) ->
    fun() -> scenario:stop(pid()) end.

pid() -> witness:pid(<<"s">>).

limit([]) -> [infinity];
limit([Time]) -> [Time].

call(Do) ->
    try iolist_to_binary(["ok ", words:term(Do())]) catch exit:Why -> gone(Why) end.

gone({Reason, {Module, _, Arguments}}) when is_atom(Module), is_list(Arguments) -> gone(Reason);
gone(Reason) -> iolist_to_binary(["exit ", words:term(Reason)]).

%% -- the machine

callback_mode() -> [handle_event_function, state_enter].

init(Machine) ->
    process_flag(trap_exit, true),
    Label = words:label(<<"s">>, witness:next(<<"s">>)),
    witness:watch(Label, self()),
    witness:say(["start ", Label]),
    {ok, <<"closed">>, #{label => Label, enter => maps:get(<<"enter">>, Machine, #{})},
     actions(maps:get(<<"init">>, Machine, #{}), none)}.

handle_event(enter, Old, State, #{enter := Enter} = Data) ->
    witness:say(["enter ", State, [[" from ", Old] || Old =/= State]]),
    act(maps:get(State, Enter, #{}), none, State, Data);
handle_event({call, From}, Message, State, Data) ->
    heard("call ", Message, State),
    act(Message, From, State, Data);
handle_event(timeout, idle, State, _) ->
    witness:say(["idle in ", State]),
    keep_state_and_data;
handle_event(Type, Message, State, Data) ->
    heard([kind(Type), " "], Message, State),
    act(Message, none, State, Data).

terminate(Reason, _, #{label := Label}) ->
    witness:say(["term ", Label, " ", words:term(Reason)]).

kind(state_timeout) -> "timeout";
kind(internal) -> "continue";
kind(Type) -> atom_to_list(Type).

heard(How, #{<<"say">> := Text}, State) -> witness:say([How, Text, " in ", State]).

%% What the callback does and returns.
act(#{<<"sleep">> := Time} = Message, From, State, Data) ->
    timer:sleep(Time),
    witness:say(["done in ", State]),
    act(maps:remove(<<"sleep">>, Message), From, State, Data);
act(#{<<"raise">> := Reason}, _, _, _) -> error(words:reason(Reason));
act(#{<<"postpone">> := States} = Message, From, State, Data) ->
    case lists:member(State, States) of
        true -> next(maps:get(<<"postpone_to">>, Message, State), Data, [postpone]);
        false -> act(maps:remove(<<"postpone">>, Message), From, State, Data)
    end;
act(#{<<"stop">> := Reason, <<"reply">> := Value}, From, _, Data) ->
    {stop_and_reply, words:reason(Reason), [{reply, From, Value}], Data};
act(#{<<"stop">> := Reason}, _, _, Data) -> {stop, words:reason(Reason), Data};
act(#{<<"give">> := Key, <<"value">> := Value} = Message, From, State, Data) ->
    gen_statem:reply(maps:get(Key, Data), Value),
    act(maps:remove(<<"give">>, Message), From, State, Data);
act(#{<<"later">> := Key} = Message, From, State, Data) ->
    act(maps:remove(<<"later">>, Message), none, State, Data#{Key => From});
act(Message, From, State, Data) ->
    next(maps:get(<<"goto">>, Message, State), Data, actions(Message, From)).

%% An enter call may name the state that it is called for.
next(State, Data, Actions) -> {next_state, State, Data, Actions}.

actions(Message, From) ->
    lists:append([
        [{reply, From, Value} || From =/= none, #{<<"reply">> := Value} <- [Message]],
        [{next_event, internal, Next} || #{<<"continue">> := Next} <- [Message]],
        [{state_timeout, Time, Next} || #{<<"timeout">> := [Time, Next]} <- [Message]],
        [{timeout, Time, idle} || #{<<"idle">> := Time} <- [Message]]]).
