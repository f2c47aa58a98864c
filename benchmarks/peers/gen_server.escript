#!/usr/bin/env escript
%% Erlang/OTP: a gen_server, asked by another process; children of a simple_one_for_one supervisor.
%%
%% It is the original of what is measured here, and the module is compiled (to machine code, where
%% the JIT is built in), not interpreted. Its limits: one file holds both behaviours, so `init/1`
%% tells them apart by its argument. Its schedulers use every core that they are given.
%%
%%     escript gen_server.escript WARMUP CALLS CASTS STARTS
-module(gen_server_peer).
-mode(compile).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).

main(Arguments) ->
    [Warmup, Calls, Casts, Starts] = [list_to_integer(A) || A <- Arguments],
    {_, Asking} = spawn_monitor(fun() -> exit({told, ask(Warmup, Calls, Casts, Starts)}) end),
    receive
        {'DOWN', Asking, process, _, {told, {Call, Cast, Start}}} ->
            io:format("{\"call\": ~.3f, \"cast\": ~.3f, \"start\": ~.3f, \"versions\": \"~s\"}~n",
                      [Call, Cast, Start, versions()]);
        {'DOWN', Asking, process, _, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

ask(Warmup, Calls, Casts, Starts) ->
    {ok, Echo} = gen_server:start_link(?MODULE, echo, []),
    {ok, Pool} = supervisor:start_link(?MODULE, pool),
    Call = each(fun(N) -> calls(Echo, N) end, Warmup, Calls),
    Cast = each(fun(N) -> casts(Echo, N) end, Warmup, Casts),
    Start = each(fun(N) -> starts(Pool, N) end, Warmup, Starts),
    {Call, Cast, Start}.

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
