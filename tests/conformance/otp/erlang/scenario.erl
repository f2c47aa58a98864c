%%% Performs a scenario's steps on OTP's supervisor, and writes down what each brings.
%%%
%%% After a step everybody is left to run until nobody can: a line of the recording holds all
%%% that follows from its step, short of what needs time to pass.
-module(scenario).
-export([run_all/1, by_parent/1, stop/1, start/2]).

%% The scenarios of a file, by name; one with `each` once for every combination of its values.
run_all(Text) ->
    Scenarios = lists:sort(maps:to_list(json:decode(Text))),
    [{Name, in_a_process(Scenario)} || {Name, Scenario} <- expanded(Scenarios)].

expanded(Scenarios) ->
    lists:append([each(Name, maps:to_list(maps:get(<<"each">>, Scenario, #{})), Scenario)
                  || {Name, Scenario} <- Scenarios]).

each(Name, [], Scenario) -> [{Name, Scenario}];
each(Name, [{Key, Values} | Rest], Scenario) ->
    lists:append([each(<<Name/binary, ", ", Value/binary>>, Rest, put_in(Scenario, Key, Value))
                  || Value <- Values]).

put_in(#{} = Map, Key, Value) -> maps:map(fun(_, Each) -> put_in(Each, Key, Value) end, Map);
put_in(List, Key, Value) when is_list(List) -> [put_in(Each, Key, Value) || Each <- List];
put_in(<<"$", Key/binary>>, Key, Value) -> Value;
put_in(Other, _, _) -> Other.

%% What one scenario leaves in its mailbox, or linked, is not the next one's.
in_a_process(Scenario) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({recorded, run(Scenario)}) end),
    receive
        {'DOWN', Ref, process, Pid, {recorded, Lines}} -> Lines;
        {'DOWN', Ref, process, Pid, Failure} -> error(Failure, [Scenario])
    end.

run(Scenario) ->
    witness:start(),
    Parent = spawn_link(fun parent/0),
    register(parent, Parent),
    Lines = [line(Step, Scenario) || Step <- [[<<"start_link">>] | maps:get(<<"steps">>, Scenario, [])]],
    clear_away(Parent),
    witness:stop(),
    Lines.

%% The top supervisor's parent: what its `exit(shutdown)` comes from.
parent() ->
    process_flag(trap_exit, true),
    receive
        {do, Do, From, Ref} -> From ! {Ref, Do()}, parent();
        {'EXIT', _, _} -> parent()
    end.

by_parent(Do) ->
    Ref = make_ref(),
    parent ! {do, Do, self(), Ref},
    receive {Ref, Answer} -> Answer end.

%% A scenario may leave its tree standing.
clear_away(Parent) ->
    unlink(Parent),
    exit(Parent, kill),
    gone(whereis(top)),
    gone(whereis(s)),
    witness:release(),
    quiet().

gone(undefined) -> ok;
gone(Top) ->
    Ref = monitor(process, Top),
    exit(Top, kill),
    receive {'DOWN', Ref, process, Top, _} -> ok end.

line(Step, Scenario) ->
    Reply = step(Step, Scenario),
    quiet(),
    [Step, Reply, iolist_to_binary(lists:join("; ", in_order(witness:take(), Scenario)))].

%% The order in which simple_one_for_one stops and lists its children is undefined.
in_order(Said, #{<<"flags">> := #{<<"strategy">> := <<"simple_one_for_one">>}}) when is_list(Said) ->
    runs(Said);
in_order(Said, _) -> Said.

runs([]) -> [];
runs([Number | _] = Counts) when is_integer(Number) -> Counts;
runs([First | Rest] = Said) ->
    case kind(First) of
        ordered -> [First | runs(Rest)];
        Kind ->
            {Run, Others} = lists:splitwith(fun(Each) -> kind(Each) =:= Kind end, Said),
            [Each || {_, Each} <- lists:keysort(1, [{whose(Each), Each} || Each <- Run])]
                ++ runs(Others)
    end.

kind(Child) when is_list(Child) -> listed;
kind(Event) ->
    case binary:split(Event, <<" ">>, [global]) of
        [<<"down">>, <<"top">> | _] -> ordered;
        [<<"down">> | _] -> stopped;
        [<<"term">>, _, <<"shutdown">>] -> stopped;
        [<<"done">> | _] -> done;
        _ -> ordered
    end.

whose([Label | _]) -> Label;
whose(Event) -> lists:nth(2, binary:split(Event, <<" ">>, [global])).

%% One step. Who asks waits for the reply; what holds it up (a slow init) is let go on.
step([<<"meanwhile">>, First | Others], Scenario) ->
    Asked = ask(request(First, Scenario)),
    quiet(),
    Replies = [begin Reply = step(Step, Scenario), quiet(), Reply end || Step <- Others],
    [answer(Asked) | Replies];
step([<<"exit">>, Id, Reason], _) ->
    gen_server:cast(witness:pid(Id), {exit, words:reason(Reason)}),
    null;
step([<<"kill">>, Id], _) ->
    exit(witness:pid(Id), kill),
    null;
%% OTP counts restarts by whole seconds of this clock.
step([<<"sleep">>, <<"to a whole second">>], _) ->
    timer:sleep(1000 * (erlang:monotonic_time(second) + 1) - erlang:monotonic_time(millisecond)),
    null;
step([<<"sleep">>, Time], _) ->
    timer:sleep(Time),
    null;
step([<<"register">>, Id], _) ->
    Pid = spawn(fun() -> Ref = monitor(process, parent), receive {'DOWN', Ref, _, _, _} -> ok end end),
    witness:watch(<<"stranger">>, Pid),
    register(words:atom(Id), Pid),
    null;
step([<<"whereis">>, Id], _) ->
    iolist_to_binary(words:term(whereis(words:atom(Id))));
step([<<"check_childspecs">>, Specs | Auto], _) ->
    Given = [[child:spec(Each) || Each <- Specs] | [words:atom(Each) || Each <- Auto]],
    words:reply(apply(supervisor, check_childspecs, Given));
step([<<"check_flags">>, Flags], _) ->
    by_parent(fun() -> checked(supervisor:start_link(child, {supervisor, child:flags(Flags), []})) end);
step(Step, Scenario) ->
    answer(ask(request(Step, Scenario))).

request(Step, #{<<"server">> := Server}) ->
    server:request(Step, Server);
request(Step, #{<<"machine">> := Machine}) ->
    machine:request(Step, Machine);
request([<<"start_link">>], #{<<"application">> := _} = Scenario) ->
    fun() ->
        ok = application:load({application, app, [{vsn, "1"}, {mod, {?MODULE, Scenario}}]}),
        Reply = words:reply(application:start(app)),
        Reply =:= <<"ok">> orelse application:unload(app),
        Reply
    end;
request([<<"application:stop">>], _) ->
    fun() ->
        Reply = words:reply(application:stop(app)),
        ok = application:unload(app),
        Reply
    end;
request([<<"start_link">>], Scenario) ->
    fun() -> words:reply(by_parent(fun() -> start_link(Scenario) end)) end;
request([<<"stop">>], _) ->
    fun() -> stop(whereis(top)) end;
request([Admin | Arguments], Scenario) ->
    Given = arguments(Admin, Arguments, Scenario),
    fun() -> in_order(words:reply(admin(binary_to_atom(Admin), Given)), Scenario) end.

admin(Admin, Arguments) ->
    try apply(supervisor, Admin, [top | Arguments])
    catch exit:{Why, _} -> {error, Why}
    end.

%% The application's callback: its top supervisor is the scenario's.
start(normal, Scenario) ->
    start_link(Scenario).

start_link(#{<<"init">> := Init}) ->
    supervisor:start_link({local, top}, child, {supervisor, words:atom(Init)});
start_link(Scenario) ->
    Flags = child:flags(maps:get(<<"flags">>, Scenario, #{})),
    Children = [child:spec(Each) || Each <- maps:get(<<"children">>, Scenario, [])],
    Given = supervisor:start_link({local, top}, child, {supervisor, Flags, Children}),
    case Given of
        {ok, Pid} -> witness:watch(<<"top">>, Pid);
        _ -> ok
    end,
    Given.

stop(Top) ->
    Ref = monitor(process, Top),
    by_parent(fun() -> exit(Top, shutdown) end),
    receive {'DOWN', Ref, process, Top, Reason} -> iolist_to_binary(words:term(Reason)) end.

%% A child's spec, its id, or `<a>`: the process last started as a.
arguments(<<"start_child">>, [Child], #{<<"flags">> := #{<<"strategy">> := <<"simple_one_for_one">>}}) ->
    [[Child]];
arguments(<<"start_child">>, [Child], _) -> [child:spec(Child)];
arguments(_, [<<"<", Rest/binary>>], _) -> [witness:pid(binary:part(Rest, 0, byte_size(Rest) - 1))];
arguments(_, Ids, _) -> [words:atom(Id) || Id <- Ids].

checked({ok, Pid}) -> exit(Pid, shutdown), <<"ok">>;
checked(Error) -> words:reply(Error).

ask(Do) ->
    spawn_monitor(fun() -> exit({reply, Do()}) end).

answer({Pid, Ref} = Asked) ->
    quiet(),
    receive
        {'DOWN', Ref, process, Pid, Reply} -> told(Reply)
    after 0 ->
        case witness:release() of
            true -> answer(Asked);
            false -> receive {'DOWN', Ref, process, Pid, Reply} -> told(Reply) end
        end
    end.

told({reply, Reply}) -> Reply.

%% Until everybody waits: for a message, for time to pass, or to be let go on.
quiet() ->
    erlang:yield(),
    case erlang:statistics(total_active_tasks) of
        1 -> ok;
        _ -> quiet()
    end.
