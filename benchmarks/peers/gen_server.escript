#!/usr/bin/env escript
%% Erlang/OTP, as one of two:
%%
%%     gen_server    asked by another process, which also starts and stops others, linked to it
%%     supervisor    starts and stops children, simple_one_for_one; nothing else is asked of it
%%
%% It is the original of what is measured here, and the module is compiled (to machine code, where
%% the JIT is built in), not interpreted. Its limits: one file holds both behaviours, so `init/1`
%% tells them apart by its argument. Its schedulers use every core that they are given.
%%
%%     escript gen_server.escript gen_server|supervisor WARMUP CALLS CASTS STARTS
-module(gen_server_peer).
-mode(compile).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).

main([Behaviour | Arguments]) ->
    Counts = [list_to_integer(A) || A <- Arguments],
    {_, Asking} = spawn_monitor(fun() -> exit({told, ask(Behaviour, Counts)}) end),
    receive
        {'DOWN', Asking, process, _, {told, Figures}} ->
            [io:format("~s\"~s\": ~.3f", [Before, Column, Figure])
             || {Before, Column, Figure} <- Figures],
            io:format(", \"versions\": \"~s\"}~n", [versions()]);
        {'DOWN', Asking, process, _, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

ask("gen_server", [Warmup, Calls, Casts, Starts]) ->
    {ok, Echo} = gen_server:start_link(?MODULE, echo, []),
    Call = each(fun(N) -> calls(Echo, N) end, Warmup, Calls),
    Cast = each(fun(N) -> casts(Echo, N) end, Warmup, Casts),
    Start = each(fun spawns/1, Warmup, Starts),
    [{"{", "call", Call}, {", ", "cast", Cast}, {", ", "start", Start}];
ask("supervisor", [Warmup, _, _, Starts]) ->
    {ok, Pool} = supervisor:start_link(?MODULE, pool),
    [{"{", "start", each(fun(N) -> starts(Pool, N) end, Warmup, Starts)}].

%% Microseconds for one, by a loop that does it so and so often.
each(Loop, Warmup, Count) ->
    Loop(Warmup),
    Began = erlang:monotonic_time(nanosecond),
    Loop(Count),
    (erlang:monotonic_time(nanosecond) - Began) / Count / 1000.

calls(_, 0) -> ok;
calls(Echo, N) ->
    N = gen_server:call(Echo, N),
    calls(Echo, N - 1).

casts(Echo, 0) -> 0 = gen_server:call(Echo, 0);
casts(Echo, N) ->
    ok = gen_server:cast(Echo, N),
    casts(Echo, N - 1).

spawns(0) -> ok;
spawns(N) ->
    {ok, Child} = gen_server:start_link(?MODULE, echo, []),
    ok = gen_server:stop(Child),
    spawns(N - 1).

starts(_, 0) -> ok;
starts(Pool, N) ->
    {ok, Child} = supervisor:start_child(Pool, []),
    ok = supervisor:terminate_child(Pool, Child),
    starts(Pool, N - 1).

versions() ->
    Release = erlang:system_info(otp_release),
    Flavour = erlang:system_info(emu_flavor),
    Schedulers = erlang:system_info(schedulers_online),
    io_lib:format("Erlang/OTP ~s (~s, ~b schedulers)", [Release, Flavour, Schedulers]).

init(echo) -> {ok, none};
init(pool) ->
    Flags = #{strategy => simple_one_for_one, intensity => 0, period => 1},
    Child = #{id => echo, start => {gen_server, start_link, [?MODULE, echo, []]},
              restart => temporary, shutdown => 5000},
    {ok, {Flags, [Child]}}.

handle_call(Value, _From, State) -> {reply, Value, State}.

handle_cast(_Value, State) -> {noreply, State}.
