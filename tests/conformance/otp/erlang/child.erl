%%% The children: a gen_server that traps exits and tells the witness of its life, and OTP's own
%%% supervisor with such children.
-module(child).
-behaviour(gen_server).
-export([spec/1, flags/1, start/1, start/2, init/1, handle_call/3, handle_cast/2, handle_info/2,
         terminate/2]).

%% OTP's child spec, from a scenario's; what is no map, or lacks its id, is handed on as it is.
spec(Id) when is_binary(Id) -> spec(#{<<"id">> => Id});
spec(#{} = Child) ->
    Keys = [id, restart, shutdown, significant, type, start, unheard_of],
    Given = maps:from_list([{Key, words:atom(maps:get(Name, Child))}
                            || Key <- Keys, Name <- [atom_to_binary(Key)], is_map_key(Name, Child)]),
    start_of(Child, Given);
spec(Other) -> Other.

start_of(_, #{start := missing} = Given) -> maps:remove(start, Given);
start_of(_, #{start := _} = Given) -> Given;
start_of(Child, Given) -> Given#{start => {child, start, [Child]}}.

flags(Flags) ->
    maps:from_list([{binary_to_atom(Key), words:atom(Value)} || Key := Value <- Flags]).

%% Under simple_one_for_one: what all have in common, and what this one has of its own.
start(Common, #{} = Own) -> start(maps:merge(Common, Own));
start(Common, Id) -> start(Common#{<<"id">> => Id}).

%% Runs in the supervisor, as start functions do.
start(#{<<"children">> := Children, <<"id">> := Id} = Child) ->
    Label = words:label(Id, witness:next(Id)),
    Flags = flags(maps:get(<<"flags">>, Child, #{})),
    Given = supervisor:start_link(?MODULE, {supervisor, Flags, [spec(Each) || Each <- Children]}),
    case Given of
        {ok, Pid} -> witness:watch(Label, Pid);
        _ -> ok
    end,
    Given;
start(#{<<"id">> := Id} = Child) ->
    Number = witness:next(Id),
    Label = words:label(Id, Number),
    Start = nth(Number, maps:get(<<"starts">>, Child, [])),
    case Start of
        <<"junk">> -> witness:say(["fail ", Label]), junk;
        <<"error">> -> witness:say(["fail ", Label]), {error, failed};
        _ -> with_info(Start, start_link(Child, {worker, Label, Start, Child}))
    end.

start_link(#{<<"registered">> := true, <<"id">> := Id}, Argument) ->
    gen_server:start_link({local, binary_to_atom(Id)}, ?MODULE, Argument, []);
start_link(_, Argument) ->
    gen_server:start_link(?MODULE, Argument, []).

with_info(<<"info">>, {ok, Pid}) -> {ok, Pid, info};
with_info(_, Given) -> Given.

%% How the n-th start goes; `...` says that the one before it is repeated for ever.
nth(_, []) -> <<"ok">>;
nth(_, [Start, <<"...">>]) -> Start;
nth(1, [Start | _]) -> Start;
nth(Number, [_ | Starts]) -> nth(Number - 1, Starts).

init({supervisor, ignore}) -> ignore;
init({supervisor, fail}) -> error(failed);
init({supervisor, junk}) -> junk;
init({supervisor, Flags, Children}) -> {ok, {Flags, Children}};
init({worker, Label, <<"slow ", Start/binary>>, Child}) ->
    witness:say(["init ", Label]),
    wait(),
    init({worker, Label, Start, Child});
init({worker, Label, Start, Child}) ->
    process_flag(trap_exit, true),
    maps:get(<<"unlinks">>, Child, false) andalso unlink(whereis(top)),
    case Start of
        <<"fail">> -> witness:say(["fail ", Label]), {stop, failed};
        <<"ignore">> -> witness:say(["ignore ", Label]), ignore;
        _ ->
            witness:watch(Label, self()),
            witness:say(["start ", Label]),
            {ok, {Label, maps:get(<<"terminate">>, Child, <<"ok">>)}}
    end.

%% Wait until somebody needs what this holds up.
wait() ->
    Ref = make_ref(),
    witness:ready(self(), Ref),
    receive Ref -> ok end.

handle_call(_, _, State) -> {reply, ok, State}.

handle_cast({exit, Reason}, State) -> {stop, Reason, State}.

handle_info(_, State) -> {noreply, State}.

terminate(Reason, {Label, How}) ->
    witness:say(["term ", Label, " ", words:term(Reason)]),
    case How of
        <<"ok">> -> ok;
        <<"hang">> -> timer:sleep(infinity);
        <<"wait">> -> wait(), witness:say(["done ", Label]);
        <<"sleep ", Time/binary>> -> timer:sleep(binary_to_integer(Time)), witness:say(["done ", Label]);
        <<"exit ", Other/binary>> -> exit(words:reason(Other))
    end.
