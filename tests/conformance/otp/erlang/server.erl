%%% A gen_server that does what its messages say, and the steps of scenarios about it.
%%%
%%% A message is an object: `say` is what it is called in the log, the other keys are what the
%%% callback does with it, in the order of `act`.
-module(server).
-behaviour(gen_server).
-export([request/2, init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2,
         terminate/2]).

%% -- the steps

request([<<"start_link">>], Server) ->
    fun() -> words:reply(scenario:by_parent(fun() -> start_link(Server) end)) end;
request([<<"start_link">>, <<"another">>], Server) ->
    request([<<"start_link">>], Server);
request([<<"call">>, Message | Timeout], _) ->
    fun() -> call(fun() -> apply(gen_server, call, [pid(), Message | limit(Timeout)]) end) end;
request([<<"requests">> | Messages], _) ->
    fun() ->
        Under_way = [gen_server:send_request(pid(), Message) || Message <- Messages],
        [received(gen_server:receive_response(Id, infinity)) || Id <- Under_way]
    end;
request([<<"cast">>, Message], _) ->
    fun() -> gen_server:cast(pid(), Message), null end;
request([<<"info">>, Message], _) ->
    fun() -> pid() ! Message, null end;
request([<<"monitor">>], _) ->
    fun() -> spawn(fun monitor/0), null end;
request([<<"gen_server:stop">>, Reason], _) ->
    fun() ->
        try gen_server:stop(pid(), words:reason(Reason), infinity) of ok -> <<"ok">>
        catch exit:Why -> gone(Why)
        end
    end;
request([<<"sys:suspend">>], _) ->
    fun() -> words:reply(sys:suspend(pid())) end;
request([<<"sys:resume">>], _) ->
    fun() -> words:reply(sys:resume(pid())) end;
request([<<"sys:get_state">>], _) ->
    fun() -> call(fun() -> maps:get(note, sys:get_state(pid())) end) end;
request([<<"sys:replace_state">>, Note], _) ->
    fun() ->
        try sys:replace_state(pid(), fun(State) -> replaced(State, Note) end) of
            #{note := Now} -> answer(Now)
        catch
            error:_ -> <<"raised">>
        end
    end;
request([<<"stop">>], _) ->
    fun() -> scenario:stop(pid()) end.

start_link(#{<<"registered">> := true} = Server) ->
    gen_server:start_link({local, s}, ?MODULE, Server, options(Server));
start_link(Server) ->
    gen_server:start_link(?MODULE, Server, options(Server)).

options(#{<<"start_timeout">> := Time}) -> [{timeout, Time}];
options(_) -> [].

pid() -> witness:pid(<<"s">>).

limit([]) -> [infinity];
limit([Time]) -> [Time].

call(Do) ->
    try answer(Do()) catch exit:Why -> gone(Why) end.

received({reply, Reply}) -> answer(Reply);
received({error, {Reason, _}}) -> gone(Reason).

answer(Reply) -> iolist_to_binary(["ok ", words:term(Reply)]).

gone({Reason, {Module, _, Arguments}}) when is_atom(Module), is_list(Arguments) -> gone(Reason);
gone(Reason) -> iolist_to_binary(["exit ", words:term(Reason)]).

%% Of its state no more is seen than what it was told to note.
replaced(_, <<"raise">>) -> error(y);
replaced(State, Note) -> State#{note => Note}.

monitor() ->
    Ref = monitor(process, pid()),
    receive
        {'DOWN', Ref, process, _, Reason} ->
            witness:say(["DOWN ", words:term(Reason), ", name ", words:term(whereis(s))])
    end.

%% -- the server

init(Server) ->
    process_flag(trap_exit, maps:get(<<"trap_exit">>, Server, true)),
    Label = words:label(<<"s">>, witness:next(<<"s">>)),
    Message = maps:get(<<"init">>, Server, #{}),
    case maps:get(<<"how">>, Message, <<"ok">>) of
        <<"ok">> ->
            witness:watch(Label, self()),
            witness:say(["start ", Label]),
            started(act(Message, none, #{label => Label, note => nothing}));
        How ->
            witness:say([How, " ", Label]),
            case How of
                <<"ignore">> -> ignore;
                <<"stop">> -> {stop, failed};
                <<"error">> -> {error, failed};
                <<"fail">> -> error(failed);
                <<"hang">> -> timer:sleep(infinity)
            end
    end.

started({noreply, State}) -> {ok, State};
started({noreply, State, Action}) -> {ok, State, Action}.

handle_call(Message, From, State) ->
    heard("call ", Message),
    act(Message, From, State).

handle_cast(Message, State) ->
    heard("cast ", Message),
    act(Message, none, State).

handle_info(timeout, State) ->
    witness:say("timeout"),
    {noreply, State};
handle_info(Message, State) ->
    heard("info ", Message),
    act(Message, none, State).

handle_continue(Message, State) ->
    heard("continue ", Message),
    act(Message, none, State).

terminate(Reason, #{label := Label} = State) ->
    witness:say(["term ", Label, " ", words:term(Reason)]),
    case State of
        #{at_end := <<"raise">>} -> error(y);
        #{at_end := Time} -> timer:sleep(Time), witness:say(["done ", Label]);
        _ -> ok
    end.

heard(How, #{<<"say">> := Text}) -> witness:say([How, Text]).

%% What the callback does and returns.
act(#{<<"sleep">> := Time} = Message, From, State) ->
    timer:sleep(Time),
    witness:say(["done ", maps:get(<<"say">>, Message)]),
    act(maps:remove(<<"sleep">>, Message), From, State);
act(#{<<"at_end">> := What} = Message, From, State) ->
    act(maps:remove(<<"at_end">>, Message), From, State#{at_end => What});
act(#{<<"note">> := Note} = Message, From, State) ->
    act(maps:remove(<<"note">>, Message), From, State#{note => Note});
act(#{<<"raise">> := Reason}, _, _) -> error(words:reason(Reason));
act(#{<<"call">> := <<"self">>} = Message, From, State) ->
    gen_server:call(self(), Message),
    {reply, never, From, State};
act(#{<<"give">> := Key, <<"value">> := Value} = Message, From, State) ->
    gen_server:reply(maps:get(Key, State), Value),
    act(maps:remove(<<"give">>, Message), From, State);
act(#{<<"later">> := Key}, From, State) -> {noreply, State#{Key => From}};
act(#{<<"stop">> := Reason, <<"reply">> := Value}, _, State) ->
    {stop, words:reason(Reason), Value, State};
act(#{<<"stop">> := Reason}, _, State) -> {stop, words:reason(Reason), State};
act(#{<<"continue">> := Next}, none, State) -> {noreply, State, {continue, Next}};
act(#{<<"continue">> := Next, <<"reply">> := Value}, _, State) ->
    {reply, Value, State, {continue, Next}};
act(#{<<"timeout">> := Time}, none, State) -> {noreply, State, Time};
act(#{<<"reply">> := Value}, _, State) -> {reply, Value, State};
act(_, _, State) -> {noreply, State}.
