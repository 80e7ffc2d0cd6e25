-- Rows for `hits` whose distributions are like those of the data of ClickBench, as far as the queries tell them apart: how
-- many values a column has, how unequally they occur, how long the texts are and what repeats together. Each row follows
-- from its number by hash functions, so that the same number of rows is always the same rows.
--
-- A value drawn by exp(x * ln(k)) with x uniform in [0, 1) is one of 1 to k and follows the law of Zipf. One drawn by
-- k * x ^ a is unequal, too, with a longer tail. Where k grows with the number of the row, as with users, pages and
-- phrases, new values appear all the time, and their share among the rows hardly depends on how many rows there are.
--
-- The number of rows stands here alone.
insert into hits
with numbers as (
    select i from generate_series(1, 10000000) as t (i)
),
size as (
    select max(i) as rows_in_all from numbers
),
-- As VARCHAR, not as the literals that they are, each row has a reference to a list instead of a copy.
words as (
    select
        ('сайт,фильм,погода,карта,работа,квартира,машина,телефон,рецепт,музыка,игра,новости,билеты,'
            || 'расписание,поезд,цена,отзывы,магазин,одежда,платье,мебель,ремонт,дача,дом,кредит,банк,курс,'
            || 'доллар,врач,клиника,лекарство,школа,урок,книга,форум,фото,видео,сериал,актёр,песня,стихи,'
            || 'сонник,гороскоп,имя,подарок,цветы,торт,салат,суп,диета,кошка,собака,рыбалка,лодка,двигатель,'
            || 'шины,запчасти,велосипед,отель,море,виза,паспорт,закон,карелки')::varchar(2000) as nouns,
        ('скачать,смотреть,купить,продать,снять,бесплатно,онлайн,недорого,новый,старый,лучший,большой,'
            || 'маленький,красивый,русский,детский,женский,мужской,летний,зимний,свадебный,домашний,'
            || 'как сделать,что такое,где найти,сколько стоит,своими руками,без регистрации,'
            || 'в хорошем качестве,по номеру,официальный,подержанный,дешёвый,срочно,почасовой,вакансии,'
            || 'доставка,прогноз,аренда,оптом,рейтинг,обзор,сравнение,характеристики,инструкция,схема,'
            || 'чертёж,перевод,значение,история,адрес,график,список,каталог,объявления,знакомства,чат,2013,'
            || 'драйвер,торрент,mp3,android,iphone,wiki')::varchar(2000) as kinds,
        ('москва,спб,киев,минск,казань,самара,омск,уфа,пермь,тула,рязань,тверь,сочи,анапа,крым,ялта,'
            || 'одесса,харьков,донецк,львов,алматы,астана,томск,чита,якутск,иркутск,кемерово,барнаул,тюмень,'
            || 'курган,сургут,воронеж,липецк,курск,орёл,брянск,калуга,владимир,иваново,кострома,ярославль,'
            || 'вологда,архангельск,мурманск,псков,новгород,калининград,ростов,краснодар,ставрополь,'
            || 'волгоград,саратов,пенза,саранск,чебоксары,ижевск,оренбург,челябинск,екатеринбург,'
            || 'новосибирск,красноярск,хабаровск,владивосток,турция')::varchar(2000) as places,
        ('auto,mail,shop,news,foto,kino,music,game,film,work,home,dom,city,map,travel,sport,baby,mama,'
            || 'moda,style,forum,club,world,info,online,mobi,soft,disk,page,card,board,irr,avito,sale,price,'
            || 'market,stroy,remont,mebel,kuhnya,recept,zdorovie,doctor,apteka,bank,credit,job,vakansii,'
            || 'realty,arenda,kvartira,nedviz,video,photo,image,avatar,people,love,znakomstva,chat,blog,'
            || 'live,wiki,portal')::varchar(2000) as latin
),
-- A few hits are counted twice: they are why (WatchID, ClientIP) is not a key.
counted as (
    select nouns, kinds, places, latin, rows_in_all, case when i % 250007 = 0 then i - 1 else i end as j
    from size cross join words cross join numbers
),
-- Hits come in the order of time, nearly. By day there are two to three times as many as by night.
drawn as (
    select
        nouns, kinds, places, latin, j,
        30 * (j + (murmur3_32_hash(j, 1) & 2047))::float / (rows_in_all + 2048)::float as days,
        -- Some 4,096 hits are of the same minutes, and of about a thousand visits of unequal length.
        j / 4096 * 1228
            + floor(1228 * power(murmur3_32_hash(j, 2) / 4294967296::float + 0.5::float, 1.3::float))::bigint as visit,
        murmur3_32_hash(j, 3) / 4294967296::float + 0.5::float as x_page,
        murmur3_32_hash(j, 4) / 4294967296::float + 0.5::float as x_from,
        murmur3_32_hash(j, 5) & 2147483647 as h1,
        murmur3_32_hash(j, 6) & 2147483647 as h2,
        murmur3_32_hash(j, 7) & 2147483647 as h3,
        murmur3_32_hash(j, 8) & 2147483647 as h4
    from counted
),
-- A visit is of one user to one site, by one phrase if a search engine led there.
visits as (
    select
        *,
        dateadd(
            second,
            floor(86400 * (days + 0.0716::float * sin(6.283185307179586::float * days)))::bigint,
            timestamp '2013-07-02 00:00:00'
        ) as at,
        floor(2.9::float * (visit + 1)::float
            * power(murmur3_32_hash(visit, 11) / 4294967296::float + 0.5::float, 2::float))::bigint as person,
        floor(exp((murmur3_32_hash(visit, 12) / 4294967296::float + 0.5::float) * ln(6507::float)))::bigint as site,
        floor(2::float * (visit + 1)::float
            * power(murmur3_32_hash(visit, 13) / 4294967296::float + 0.5::float, 2.7::float))::bigint as phrase,
        murmur3_32_hash(visit, 14) & 2147483647 as v1
    from drawn
),
-- Half of the hits come from the same site, a fifth from nowhere, and 14 % by a search.
users as (
    select
        *,
        murmur3_32_hash(person, 21) & 2147483647 as u1,
        murmur3_32_hash(person, 22) & 2147483647 as u2,
        murmur3_32_hash(person, 23) & 2147483647 as u3,
        floor(exp((murmur3_32_hash(person, 24) / 4294967296::float + 0.5::float) * ln(9041::float)))::bigint as region,
        -- Users of one network have one address.
        murmur3_32_hash(person * 9 / 16, 25) as address,
        case
            when h1 % 1000 < 480 then -1
            when h1 % 1000 < 670 then 0
            when h1 % 1000 < 770 then 1
            when h1 % 1000 < 910 then 2
            when h1 % 1000 < 918 then 3
            when h1 % 1000 < 923 then 4
            when h1 % 1000 < 933 then 5
            when h1 % 1000 < 963 then 6
            when h1 % 1000 < 975 then 7
            when h1 % 1000 < 990 then 8
            when h1 % 1000 < 996 then 9
            else 10
        end as source,
        -- A quarter of the hits on counter 62, the 15th by size, are on one page, whose windows query 41 counts.
        case
            when site = 15 and h1 / 1000 % 100 < 25 then 1
            else floor(exp(x_page * ln(2::float + 0.08::float * j / site)))::bigint
        end as page,
        -- Of hits from the same site 3 in 10 come from its front page, 0.
        case
            when h1 % 1000 < 480 or h1 % 1000 between 933 and 962 then
                case
                    when h2 % 10 < 3 then 0
                    else floor(exp(x_from * ln(2::float + 0.03::float * j / site)))::bigint
                end
            else floor(exp(x_from * ln(300::float)))::bigint
        end as from_page,
        case
            when h1 % 1000 < 480 or h1 % 1000 between 933 and 962 then site
            else floor(exp((h2 / 2147483648::float) * ln(6507::float)))::bigint
        end as from_site
    from visits
),
pages as (
    select
        *,
        murmur3_32_hash(page * 8192 + site, 31) & 2147483647 as p1,
        murmur3_32_hash(page * 8192 + site, 32) & 2147483647 as p2,
        murmur3_32_hash(from_page * 8192 + from_site, 31) & 2147483647 as f1,
        case when source = 2 and h1 / 100000 % 100 < 94 then murmur3_32_hash(phrase, 33) & 2147483647 end as s1,
        murmur3_32_hash(phrase, 34) & 2147483647 as s2,
        'http://' || case when site % 3 = 0 then 'www.' else '' end
            || split_part(latin, ',', site % 64 + 1)
             || split_part(latin, ',', (site / 64 + site * 5) % 64 + 1)
            || case when site < 4096 then '.ru' else '.com' end as host,
        case
            when source = 3 then
                case
                    when h3 % 1000 < 200 then 0
                    when h3 % 1000 < 713 then 2
                    when h3 % 1000 < 857 then 27
                    when h3 % 1000 < 915 then 13
                    when h3 % 1000 < 964 then 45
                    when h3 % 1000 < 976 then 44
                    when h3 % 1000 < 985 then 3
                    when h3 % 1000 < 992 then 62
                    when h3 % 1000 < 996 then 52
                    else decode(h3 / 1000 % 10, 0, 50, 1, 28, 2, 53, 3, 25, 4, 61, 5, 21, 6, 42, 7, 16, 8, 7, 1)
                end
            else 0
        end as advertiser,
        case
            when u1 % 100 < 24 then 1368
            when u1 % 100 < 37 then 1638
            when u1 % 100 < 49 then 1996
            when u1 % 100 < 58 then 1750
            when u1 % 100 < 66 then 1087
            when u1 % 100 < 73 then 1594
            when u1 % 100 < 79 then 1828
            when u1 % 100 < 84 then 1917
            when u1 % 100 < 88 then 1317
            when u1 % 100 < 91 then 0
            else 320 + u1 / 100 % 80 * 21
        end as screen_width
    from users
),
texts as (
    select
        *,
        case
            when s1 is null then ''
            else
                split_part(kinds, ',', s1 % 64 + 1) || ' ' || split_part(nouns, ',', s1 / 64 % 64 + 1)
                || case when s2 % 10 < 7 then ' ' || split_part(nouns, ',', s1 / 4096 % 64 + 1) else '' end
                || case when s2 / 10 % 10 < 6 then ' ' || split_part(places, ',', s1 / 262144 % 64 + 1) else '' end
                || case when s2 / 100 % 10 < 4 then ' ' || (1 + s2 / 1000 % 2013) else '' end
        end as search,
        -- One address in 6,250 and one title in 2,000 name Google.
        host
            || case site % 4
                when 0 then
                    '/' || split_part(latin, ',', p1 % 64 + 1) || '/' || split_part(latin, ',', p1 / 64 % 64 + 1)
                    || '-' || split_part(latin, ',', p1 / 4096 % 64 + 1) || '/' || page || '.html'
                when 1 then
                    '/index.php?show=' || split_part(latin, ',', p1 % 64 + 1) || '/login-'
                    || split_part(latin, ',', p1 / 64 % 64 + 1) || p2 % 10000 || ',' || page
                when 2 then
                    '/catalog/' || split_part(latin, ',', p1 % 64 + 1) || '/?type=' || p1 / 64 % 9 || '&page=' || page
                    || '&price_from=' || p1 / 1000 % 300 * 100 || '&price_to=&currency=RUR&order=' || p2 % 6
                else
                    '/search/?text=' || split_part(nouns, ',', p1 % 64 + 1) || '+'
                    || split_part(kinds, ',', p1 / 64 % 64 + 1)
                    || '+' || split_part(places, ',', p1 / 4096 % 64 + 1) || '&lr=' || page
            end
            || case when p2 / 10000 % 6 = 0 then '&sid=' || md5(p1::varchar) else '' end
            || case when p2 / 10000 % 500 = 1 then '&state=' || repeat(md5(p2::varchar), 30) else '' end
            || case when h3 % 6250 = 0 then '&from=google' else '' end as address_of_page,
        case
            when p2 % 25 = 0 then ''
            else
                split_part(nouns, ',', p2 / 64 % 64 + 1) || ' ' || split_part(kinds, ',', p2 % 64 + 1) || ' '
                || split_part(nouns, ',', p2 / 4096 % 64 + 1) || ' ' || split_part(places, ',', p1 / 4096 % 64 + 1)
                || case when p1 / 64 % 3 > 0 then ', ' || split_part(kinds, ',', p1 % 64 + 1) || ' '
                    || split_part(nouns, ',', p1 / 262144 % 64 + 1) else '' end
                || case when p2 / 64 % 2 > 0 then ' № ' || page else '' end
                || ' — ' || split_part(latin, ',', site % 64 + 1) || ' ' || split_part(places, ',', site / 64 % 64 + 1)
                || case when h4 % 2000 = 0 then ' | Google' else '' end
        end as heading,
        case
            when source = 0 then ''
            when source = 2 then
                case
                    when v1 % 100 < 62 then
                        'http://yandex.ru/yandsearch?text=' || split_part(kinds, ',', s2 % 64 + 1) || '+'
                        || split_part(nouns, ',', s2 / 64 % 64 + 1) || '&lr=' || s2 / 1000 % 250
                    when v1 % 100 < 90 then
                        'http://www.google.ru/url?sa=t&rct=j&q=&esrc=s&source=web&cd=' || s2 % 10
                        || '&ved=' || md5(f1::varchar)
                    else 'http://go.mail.ru/search?q=' || split_part(nouns, ',', s2 % 64 + 1) || '&num=' || s2 % 100
                end
            when source = 3 then 'http://an.yandex.ru/count/' || md5(f1::varchar)
            when from_page = 0 then host || '/'
            when source = -1 or source = 6 then
                host || '/' || split_part(latin, ',', f1 % 64 + 1) || '/' || split_part(latin, ',', f1 / 64 % 64 + 1)
                || '-' || split_part(latin, ',', f1 / 4096 % 64 + 1) || '/?page=' || from_page || '&id=' || f1
            else
                'http://' || case when from_site % 3 = 0 then 'www.' else '' end
                || split_part(latin, ',', from_site % 64 + 1)
                 || split_part(latin, ',', (from_site / 64 + from_site * 5) % 64 + 1)
                || case when from_site < 4096 then '.ru' else '.com' end
                || '/' || split_part(latin, ',', f1 % 64 + 1) || '/' || split_part(latin, ',', f1 / 64 % 64 + 1)
                || '/' || from_page || '.html'
        end as address_before
    from pages
)
select
    fnv_hash(j) & 9223372036854775807 as WatchID,
    case when u1 / 10000 % 10 < 6 then 1 else 0 end as JavaEnable,
    heading as Title,
    1 as GoodEvent,
    at as EventTime,
    at::date as EventDate,
    -- The 15th site by size has 0.7 % of the hits: it is counter 62.
    decode(site, 1, 3922, 2, 38, 15, 62, 1000 + site * 31) as CounterID,
    -- Query 35 subtracts up to 3.
    greatest(address, -2147483640) as ClientIP,
    case
        when u2 % 100 < 11 then 229
        else decode(region, 1, 229, 2, 2, 3, 208, 4, 169, 5, 32, 6, 34, 7, 184, 8, 42, 9, 107, 10, 51, region + 300)
    end as RegionID,
    -- The user that query 19 looks for is one with few hits.
    case
        when person = 20000 then 435090932899640449
        else fnv_hash(person, 6146824073892301373) & 9223372036854775807
    end as UserID,
    case when site % 20 = 0 then 1 else 0 end as CounterClass,
    floor(exp(u3 / 2147483648::float * ln(80::float))) + 1 as OS,
    floor(exp(u2 / 2147483648::float * ln(83::float))) + 1 as UserAgent,
    address_of_page as URL,
    address_before as Referer,
    case when h2 / 100 % 100 < 11 then 1 else 0 end as IsRefresh,
    case when f1 % 4 = 0 then f1 / 4 % 50 * 211 else 0 end as RefererCategoryID,
    case when f1 % 4 = 0 then from_site % 300 else 0 end as RefererRegionID,
    case when site % 3 = 0 then site % 60 * 181 else 0 end as URLCategoryID,
    case when site % 3 = 0 then site % 300 else 0 end as URLRegionID,
    screen_width as ResolutionWidth,
    case when screen_width = 0 then 0 else screen_width * 5 / 8 + u1 / 1000000 % 3 * 100 end as ResolutionHeight,
    decode(u1 / 1000 % 10, 0, 0, 1, 23, 37) as ResolutionDepth,
    case when u1 / 1000 % 10 = 0 then 0 when u3 % 10 < 8 then 11 else u3 % 12 end as FlashMajor,
    case when u1 / 1000 % 10 = 0 then 0 else u3 / 10 % 10 end as FlashMinor,
    case when u1 / 1000 % 10 = 0 then '' else (u3 / 100 % 20 * 37)::varchar end as FlashMinor2,
    case when u3 / 1000 % 10 < 3 then u3 % 5 else 0 end as NetMajor,
    case when u3 / 1000 % 10 < 3 then u3 % 3 else 0 end as NetMinor,
    1 + u2 / 1000 % 34 as UserAgentMajor,
    case when u2 / 1000 % 4 = 0 then '' else (u2 / 100000 % 60)::varchar end as UserAgentMinor,
    case when u3 % 200 = 0 then 0 else 1 end as CookieEnable,
    1 as JavascriptEnable,
    case when u2 / 100 % 1000 < 58 then 1 else 0 end as IsMobile,
    case when u2 / 100 % 1000 < 58 then decode(u3 / 1000 % 10, 0, 5, 1, 6, 2, 7, 3, 118, 4, 26, 1) else 0 end as MobilePhone,
    -- Nearly all models that are known are the same one.
    case
        when u2 / 100 % 1000 >= 55 then ''
        when u3 / 10 % 1000 < 830 then 'iPad'
        when u3 / 10 % 1000 < 868 then 'iPhone'
        when u3 / 10 % 1000 < 884 then 'A500'
        when u3 / 10 % 1000 < 894 then 'N8-00'
        when u3 / 10 % 1000 < 900 then 'ONE TOUCH 6030A'
        else decode(u3 % 4, 0, 'GT-P', 1, 'GT-I', 2, 'Lumia ', 'HTC ') || u3 / 10000 % 40 * 25 + 300
    end as MobilePhoneModel,
    case when h4 % 100 = 1 then '{"id":' || p1 % 1000 || '}' else '' end as Params,
    address / 65536 + 32768 as IPNetworkID,
    source as TraficSourceID,
    case
        when source <> 2 then 0
        when v1 % 100 < 62 then 2
        when v1 % 100 < 90 then 3
        else 3 + floor(exp(v1 / 2147483648::float * ln(90::float)))
    end as SearchEngineID,
    search as SearchPhrase,
    advertiser as AdvEngineID,
    0 as IsArtifical,
    -- Windows have nearly any size.
    case when h4 / 10 % 100 < 15 then greatest(screen_width - 20, 0) else 300 + h4 / 1000 % 1600 end as WindowClientWidth,
    case when h3 / 10 % 100 < 15 then screen_width / 2 else 200 + h3 / 1000 % 900 end as WindowClientHeight,
    case when region % 7 < 5 then 135 else region % 25 * 30 - 330 end as ClientTimeZone,
    -- Clocks of clients are some seconds, and now and then some days, wrong.
    dateadd(second, case when u3 % 20 = 0 then u3 / 20 % 1000000 - 500000 else h3 % 60 - 30 end, at) as ClientEventTime,
    case when u3 / 10000 % 10 < 3 then 5 else 0 end as SilverlightVersion1,
    case when u3 / 10000 % 10 < 3 then 1 else 0 end as SilverlightVersion2,
    case when u3 / 10000 % 10 < 3 then 10411 + u3 / 100000 % 5 * 2443 else 0 end as SilverlightVersion3,
    0 as SilverlightVersion4,
    case when site % 10 < 5 then 'windows-1251;charset' when site % 10 < 9 then 'utf-8' else '' end as PageCharset,
    case when site % 10 < 8 then 1601 else 291 + site % 50 * 10 end as CodeVersion,
    case when h1 / 1000000 % 1000 < 70 then 1 else 0 end as IsLink,
    case when h1 / 1000000 % 1000 > 997 then 1 else 0 end as IsDownload,
    case when h2 / 10000 % 10 < 3 then 1 else 0 end as IsNotBounce,
    case when u1 % 2 = 0 then 0 else fnv_hash(person, 2870177450012600261) & 9223372036854775807 end as FUniqID,
    case when h4 % 50 = 7 then address_of_page else '' end as OriginalURL,
    h4 as HID,
    0 as IsOldCounter,
    case when h2 / 1000000 % 100 < 3 then 1 else 0 end as IsEvent,
    0 as IsParameter,
    case when h2 / 1000000 % 100 between 3 and 8 then 1 else 0 end as DontCountHits,
    case when h2 / 1000000 % 100 = 9 then 1 else 0 end as WithHash,
    case when u2 % 3 = 0 then '5' else 'F' end as HitColor,
    dateadd(hour, region % 9 - 2, at) as LocalEventTime,
    case when u1 / 100 % 3 = 0 then u1 / 1000000 % 5 * 11 else 0 end as Age,
    case when u1 / 100 % 3 = 0 then u2 % 3 else 0 end as Sex,
    case when u1 / 100 % 3 = 0 then u3 % 4 else 0 end as Income,
    case when u1 / 100 % 3 = 0 then u3 % 32768 else 0 end as Interests,
    case when u2 % 300 = 0 then 4 else 0 end as Robotness,
    murmur3_32_hash(address, 41) as RemoteIP,
    case when v1 % 4 = 0 then v1 else -1 end as WindowName,
    case when v1 % 40 = 0 then v1 % 65536 else -1 end as OpenerName,
    case when v1 % 3 = 0 then -1 else h3 % 50 end as HistoryLength,
    case when u3 / 100 % 10 < 9 then 'ru' else decode(u3 % 3, 0, 'uk', 1, 'en', 'de') end as BrowserLanguage,
    case when u3 / 100 % 10 < 9 then 'RU' else decode(u3 % 4, 0, 'UA', 1, 'US', 2, 'KZ', 'BY') end as BrowserCountry,
    '' as SocialNetwork,
    '' as SocialAction,
    case when h4 % 500 = 0 then 404 else 0 end as HTTPError,
    case when h4 % 5 = 0 then h4 / 100 % 3000 else 0 end as SendTiming,
    case when h4 % 5 = 0 then h4 / 1000 % 200 else 0 end as DNSTiming,
    case when h4 % 5 = 0 then h4 / 10000 % 300 else 0 end as ConnectTiming,
    case when h4 % 5 = 0 then h3 / 100 % 2000 else 0 end as ResponseStartTiming,
    case when h4 % 5 = 0 then h3 / 1000 % 4000 else 0 end as ResponseEndTiming,
    case when h4 % 5 = 0 then h3 / 10000 % 6000 else 0 end as FetchTiming,
    0 as SocialSourceNetworkID,
    '' as SocialSourcePage,
    case when h4 % 20000 = 0 then h4 / 20000 * 100 else 0 end as ParamPrice,
    '' as ParamOrderID,
    -- Not a currency, but what nearly all rows say.
    'NH' as ParamCurrency,
    0 as ParamCurrencyID,
    case when advertiser = 2 then 'direct.yandex.ru' else '' end as OpenstatServiceName,
    case when advertiser = 2 then (p1 % 100000)::varchar else '' end as OpenstatCampaignID,
    case when advertiser = 2 then (p2 % 1000000)::varchar else '' end as OpenstatAdID,
    case when advertiser = 2 then 'yandex.ru:premium' else '' end as OpenstatSourceID,
    case when source = 3 then 'yandex' else '' end as UTMSource,
    case when source = 3 then 'cpc' else '' end as UTMMedium,
    case when source = 3 then split_part(latin, ',', p1 % 64 + 1) else '' end as UTMCampaign,
    case when source = 3 and p1 % 2 = 0 then (p1 % 100000)::varchar else '' end as UTMContent,
    case when source = 3 and p1 % 3 = 0 then split_part(nouns, ',', p1 % 64 + 1) else '' end as UTMTerm,
    case when h3 % 1000 = 3 then 'rss' else '' end as FromTag,
    case when advertiser = 3 then 1 else 0 end as HasGCLID,
    -- What queries 40 and 41 look for: the front page of counter 62, and its most read page.
    case when site = 15 and from_page = 0 and source in (-1, 6) then 3594120000172545465 else fnv_hash(address_before) end
        as RefererHash,
    case when site = 15 and page = 1 then 2868770270353813622 else fnv_hash(address_of_page) end as URLHash,
    case when h4 % 300 = 0 then h4 / 300 % 1000000 else 0 end as CLID
from texts;
