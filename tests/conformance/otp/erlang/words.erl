%%% How terms and replies are written: pids by their labels, the rest as Erlang writes it.
-module(words).
-export([term/1, reply/1, label/2, atom/1, reason/1]).

label(Id, Number) -> iolist_to_binary([Id, integer_to_binary(Number)]).

%% A reason, as a scenario writes it.
reason(Text) ->
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Text) ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

atom(Text) when is_binary(Text) -> binary_to_atom(Text);
atom(Other) -> Other.

term(Pid) when is_pid(Pid) -> witness:label(Pid);
term(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
term(Text) when is_binary(Text) -> Text;
term(Number) when is_integer(Number) -> integer_to_binary(Number);
%% Where in the code it was raised, by which call, and the record of the child are OTP's own affair.
term({Reason, {Module, _, Arguments}}) when is_atom(Module), is_list(Arguments) -> term(Reason);
term({Reason, [{_, _, _, _} | _]}) -> term(Reason);
term({Reason, Child}) when element(1, Child) =:= child -> term(Reason);
term(Tuple) when is_tuple(Tuple) -> ["{", terms(tuple_to_list(Tuple)), "}"];
term(List) when is_list(List) -> ["[", terms(List), "]"];
term(#{id := Id}) -> term(Id);
term(Other) -> io_lib:format("~0p", [Other]).

terms(List) -> lists:join(",", [term(Each) || Each <- List]).

%% What an administrator is told, ready for JSON; of what is wrong with a spec, its name alone.
reply({ok, #{id := _} = Spec}) -> spec(Spec);
reply({ok, {Id, Child, Type, _}}) -> child({Id, Child, Type, []});
reply({ok, Child}) -> said(["ok ", term(Child)]);
reply({ok, Child, Info}) -> said(["ok ", term(Child), " ", term(Info)]);
reply({error, {Of, Reason}}) when Of =:= supervisor_data; Of =:= start_spec -> reply({error, Reason});
reply({error, {Blame, _}}) when Blame =/= already_started, Blame =/= shutdown, is_atom(Blame) ->
    said(["error ", term(Blame)]);
reply({error, Reason}) -> said(["error ", term(Reason)]);
reply([{specs, _} | _] = Counts) ->
    [proplists:get_value(Key, Counts) || Key <- [specs, active, supervisors, workers]];
reply(Children) when is_list(Children) -> [child(Child) || Child <- Children];
reply(Other) -> said(term(Other)).

child({undefined, Child, Type, _}) -> [said(term(Each)) || Each <- [Child, Type]];
child({Id, Child, Type, _}) -> [said(term(Each)) || Each <- [Id, Child, Type]].

spec(Spec) ->
    maps:from_list([{atom_to_binary(Key), maps:get(Key, Spec)}
                    || Key <- [id, restart, shutdown, significant, type], is_map_key(Key, Spec)]).

said(Text) -> iolist_to_binary(Text).
